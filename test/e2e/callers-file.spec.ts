import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from '@jest/globals';
import { readCallersFile } from '../../src/callers/callers-file.ts';
import { testCaller, type TestCaller } from '../support/gateway.ts';
import { readJob } from '../support/reads.ts';
import { shareRig } from '../support/shared-rig.ts';
import { until } from '../support/until.ts';

const folder = mkdtempSync(join(tmpdir(), 'callers-'));
const path = join(folder, 'callers.json');
afterAll(() => rmSync(folder, { recursive: true }));

const digest = (key: string): string => createHash('sha256').update(key).digest('hex');
const entry = ({ name, key, iTwins }: TestCaller, ...otherKeys: string[]) => ({
  name,
  keySha256: [key, ...otherKeys].map(digest),
  iTwins,
});

let version = 0;
/** Like Kubernetes: the file is a link into `..data`, which is a link that is replaced by one to another folder. */
function mount(content: string): void {
  const data = join(folder, `..v${++version}`);
  mkdirSync(data);
  writeFileSync(join(data, 'callers.json'), content);
  symlinkSync(data, join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
}
const swap = (...callers: object[]): void => mount(JSON.stringify({ callers }));

const [removed, narrowed, old] = [testCaller('removed'), testCaller('narrowed'), testCaller('rotating')];
const fresh = testCaller('rotating');
swap(entry(removed), entry(narrowed), entry(old, fresh.key));
symlinkSync('..data/callers.json', path);
const callers = [removed, narrowed, old, fresh];
const rig = shareRig({ unknownJobs: 'make' }, () => ({ callers, env: { CALLERS_FILE: path } }));

const JOB = randomUUID();
const statusFor = async (caller: TestCaller): Promise<number> =>
  (await readJob(rig.gateway, JOB, { caller })).status;
const isTakenUp = (caller: TestCaller): Promise<void> =>
  until(`${caller.name} is let in`, async () => (await statusFor(caller)) === 200);

describe('the callers file', () => {
  it('is reloaded without a restart: new callers are admitted, removed or restricted ones are not, cached or not', async () => {
    const added = testCaller('added');
    const all = [...callers, added];
    expect(await Promise.all(all.map(statusFor))).toEqual([200, 200, 200, 200, 401]);
    swap({ ...entry(narrowed), iTwins: [randomUUID()] }, entry(fresh), entry(added));
    await isTakenUp(added);
    expect(await Promise.all(all.map(statusFor))).toEqual([401, 404, 401, 200, 200]);
  });

  it('is ignored while it is invalid, which is logged without digests, and used once it is valid', async () => {
    const { gateway } = rig;
    const [before, next] = [testCaller('before'), testCaller('next')];
    swap(entry(before));
    await isTakenUp(before);
    const lines = gateway.log.length;
    const spoilt = { ...entry(next), keySha256: digest(next.key), key: 'a-key-in-clear' };
    mount(JSON.stringify({ callers: [spoilt] }));
    const told = () => gateway.log.slice(lines).filter(({ level }) => level === 50);
    await until('the fault is logged', () => told().length > 0);
    expect(JSON.stringify(told())).not.toMatch(/[0-9a-f]{64}|a-key-in-clear/);
    expect([await statusFor(before), await statusFor(next)]).toEqual([200, 401]);
    swap(entry(next));
    await isTakenUp(next);
    expect(told()).toHaveLength(1);
  });

  it.each([
    ['that is cut off', (good: string) => good.slice(0, -5)],
    ['that is empty', () => ''],
    ['with half a digest', (good: string) => good.replace(/[0-9a-f]{32}"/, '"')],
    ['with a digest where a list should be', (good: string) => good.replace(/\["([0-9a-f]{64})"\]/, '"$1"')],
    ['with a digest as a name', (good: string) => good.replace(/"name":"\w+"/, `"name":"${digest('a')} "`)],
    ['with a digest as a field', (good: string) => good.replace('"name"', `"${digest('a')}":1,"name"`)],
    ['with three keys for one', (good: string) => good.replace(/\[("[0-9a-f]{64}")\]/, '[$1,$1,$1]')],
    ['that names nobody', () => '{"callers":[]}'],
  ])('is refused %s, without quoting a digest', (_, broken) => {
    const file = join(folder, 'broken.json');
    writeFileSync(file, broken(JSON.stringify({ callers: [entry(testCaller('somebody'))] })));
    expect(() => readCallersFile(file)).toThrow(/^(?!.*[0-9a-f]{32}).+$/s);
  });

  it.each([
    [
      'that has neither keys nor a client',
      { keySha256: undefined },
      'callers.0 must have keySha256 or clientId',
    ],
    ['with an empty client', { clientId: '' }, 'callers.0.clientId must be 1 to 255 printable characters'],
    ['with a client of two', { clientId: 'a' }, 'callers a clientId belongs to two entries'],
  ])('is refused %s', (_, more, fault) => {
    const file = join(folder, 'broken.json');
    const other = { ...entry(testCaller('other')), clientId: 'a' };
    writeFileSync(file, JSON.stringify({ callers: [{ ...entry(testCaller('one')), ...more }, other] }));
    expect(() => readCallersFile(file)).toThrow(fault);
  });

  it('can map the tokens of a client to a caller, with or without keys', () => {
    const file = join(folder, 'clients.json');
    const clients = [
      { name: 'one', clientId: 'a', iTwins: ['*'] },
      { ...entry(testCaller('two')), clientId: 'b' },
    ];
    writeFileSync(file, JSON.stringify({ callers: clients }));
    expect(readCallersFile(file)).toEqual(clients.map((client) => ({ ...client, operator: false })));
  });

  it('can be a plain file that is overwritten, deleted and restored', async () => {
    const [plain, later] = [testCaller('plain'), testCaller('later')];
    unlinkSync(path);
    writeFileSync(path, JSON.stringify({ callers: [entry(plain)] }));
    await isTakenUp(plain);
    unlinkSync(path);
    await until('its absence is logged', () => rig.gateway.output.includes('cannot be read (ENOENT)'));
    expect(await statusFor(plain)).toBe(200);
    writeFileSync(path, JSON.stringify({ callers: [entry(later)] }));
    await isTakenUp(later);
    unlinkSync(path);
    symlinkSync('..data/callers.json', path);
  });
});

describe('npm run caller', () => {
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [
      join(import.meta.dirname, '../../dist/callers/new-caller.js'),
      ...args,
    ]);

  async function make(name: string, ...iTwins: string[]): Promise<{ caller: TestCaller; made: object }> {
    const { stdout } = await run(name, ...iTwins);
    const [, key = '', json = ''] = /^ {2}(\S{20,})$[\s\S]*^ {2}(\{.*\})$/m.exec(stdout) ?? [];
    return { caller: { name, key, iTwins }, made: JSON.parse(json) as object };
  }

  it('prints a key and an entry that admit the caller, restricted to the given iTwins', async () => {
    const [{ caller, made }, narrow] = await Promise.all([make('dashboard'), make('narrow', randomUUID())]);
    expect(JSON.stringify(made)).not.toContain(caller.key);
    swap(made, narrow.made);
    await isTakenUp(caller);
    expect(await statusFor(narrow.caller)).toBe(404);
    expect(await statusFor(testCaller('somebody'))).toBe(401);
  });

  it.each([[[]], [['']], [['two words']], [['x'.repeat(65)]], [['ü']], [['a\nb']]])(
    'refuses the name %j',
    async (args) => {
      await expect(run(...args)).rejects.toMatchObject({ code: 64, stdout: '' });
    },
  );
});
