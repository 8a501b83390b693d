/** Handles a signal. Until the gateway has been started no request can be lost, so the process may simply exit. */
let onSignal = (_signal: NodeJS.Signals): void => {
  process.exit(0);
};

// Installed before the rest is loaded, which takes a second: a signal without a handler kills the process.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => {
    onSignal(signal);
  });
}

const { serve } = await import('./serve.ts');
await serve((handler) => {
  onSignal = handler;
});
