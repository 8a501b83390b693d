import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import { type FakeUpstreamOptions, FakeUpstream } from '../fake-upstream/fake-upstream.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';

/** A fake upstream and a gateway for all tests of a file, because a start takes more than a second. */
export interface SharedRig {
  readonly upstream: FakeUpstream;
  readonly gateway: Gateway;
}

/** Each test begins without calls and faults. Jobs, copies and the token remain, so tests use new ids. */
export function shareRig(
  upstream: FakeUpstreamOptions = {},
  options: (upstream: FakeUpstream) => Omit<GatewayOptions, 'upstream'> = () => ({}),
): SharedRig {
  const rig = {} as { upstream: FakeUpstream; gateway: Gateway };
  beforeAll(async () => {
    rig.upstream = await FakeUpstream.start(upstream);
    rig.gateway = await Gateway.start({ upstream: rig.upstream, ...options(rig.upstream) });
  });
  beforeEach(() => {
    rig.upstream.clear();
    rig.upstream.clearFaults();
  });
  afterAll(async () => {
    await rig.gateway.stop();
    await rig.upstream.stop();
  });
  return rig;
}
