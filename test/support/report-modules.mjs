import { registerHooks } from 'node:module';

const packageOf = (url = '') => /\/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*\/node_modules\/)/.exec(url)?.[1];

// Preloaded into a gateway: says on standard error which packages are imported or required, and who does.
registerHooks({
  resolve: (specifier, context, nextResolve) => {
    const resolved = nextResolve(specifier, context);
    const [name, by] = [packageOf(resolved.url), packageOf(context.parentURL) ?? 'the gateway'];
    if (name && name !== by) process.stderr.write(`loaded ${name} by ${by}\n`);
    return resolved;
  },
});
