import { afterAll, beforeAll, beforeEach } from '@jest/globals';
import { type DoubleOptions, ITwinDouble } from '../simulator/itwin-double.ts';
import { Gateway, type GatewayOptions } from './gateway.ts';

/** A double and a gateway that all tests of a file share: a process takes more than a second to start. */
export interface SharedRig {
  readonly double: ITwinDouble;
  readonly gateway: Gateway;
}

/** Each test finds the calls forgotten and the faults cleared; jobs, copies and the token stay: ids are made anew. */
export function shareRig(
  double: DoubleOptions = {},
  options: (double: ITwinDouble) => Omit<GatewayOptions, 'double'> = () => ({}),
): SharedRig {
  const rig = {} as { double: ITwinDouble; gateway: Gateway };
  beforeAll(async () => {
    rig.double = await ITwinDouble.start(double);
    rig.gateway = await Gateway.start({ double: rig.double, ...options(rig.double) });
  });
  beforeEach(() => {
    rig.double.clear();
    rig.double.clearFaults();
  });
  afterAll(async () => {
    await rig.gateway.stop();
    await rig.double.stop();
  });
  return rig;
}
