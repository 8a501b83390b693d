/** What a signal does: until there is a gateway that can end in order, nothing has been taken that could be lost. */
let end = (_signal: NodeJS.Signals): void => {
  process.exit(0);
};

// Before anything else is so much as loaded, which takes a second: a process without handlers dies of its signal.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => {
    end(signal);
  });
}

const { serve } = await import('./serve.ts');
await serve((inOrder) => {
  end = inOrder;
});
