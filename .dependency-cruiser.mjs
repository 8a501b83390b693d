/** Who may import whom in src (ARCHITECTURE.md draws it). Specs may import what they need, but nothing imports them. */

const spec = '[.]spec[.]ts$';
/** What puts the rooms together: it alone may know the settings and the inside of another room. */
const wiring = [
  '[.]module[.]ts$',
  ...['serve', 'app', 'store/forget', 'health/check'].map((name) => `^src/${name}[.]ts$`),
];
const barrel = ['^src/index[.]ts$', '^src/.+/index[.]ts$'];
const entries = [
  ...['main', 'callers/new-caller', 'store/forget', 'health/check'].map((name) => `^src/${name}[.]ts$`),
  '^src/console/page/main[.]js$',
  '^src/openapi/page/main[.]js$',
];

/** What of src/upstream the jobs may know. */
const upstreamFace = [
  '^src/upstream/job-reads[.]ts$',
  '^src/upstream/exchange[.]ts$',
  '^src/upstream/copy[.]ts$',
  '^src/upstream/upstream-failure[.]ts$',
  '^src/upstream/itwin-api[.]ts$',
];

/** Folders of src that a room may import from, or single files of them. */
const tracingPort = '^src/tracing/tracing[.]ts$';
const upstreamMayKnow = [
  '^src/upstream/',
  '^src/budget/budget[.]ts$',
  tracingPort,
  '^src/errors/',
  '^src/clock[.]ts$',
  '^src/json[.]ts$',
];
/** src/config is here for jobs.module.ts: `config-for-wiring-only` keeps the others from it. */
const jobsMayKnow = [
  '^src/config/',
  '^src/jobs/',
  ...upstreamFace,
  '^src/callers/',
  '^src/budget/budget[.]ts$',
  '^src/errors/',
  '^src/metrics/',
  tracingPort,
  '^src/http/',
];
const eventsMayKnow = ['^src/config/', '^src/events/', ...upstreamFace, '^src/callers/', '^src/errors/'];

/** The console is shown what it needs by the wiring; of the rest it knows what a state is made of, and whom to let in. */
const consoleMayKnow = [
  '^src/console/',
  '^src/pages/',
  '^src/metrics/metrics[.]ts$',
  '^src/budget/budget[.]ts$',
  '^src/callers/',
  '^src/errors/',
];

/** The description is made of the forms that the code goes by, and of nothing that runs. */
const openapiMayKnow = ['^src/openapi/', '^src/pages/', '^src/errors/', '^src/upstream/copy[.]ts$'];

/** A rule that is broken by every import that matches. */
const forbid = (name, comment, from, to) => ({ name, comment, severity: 'error', from, to });

export default {
  forbidden: [
    forbid('no-circular', 'Two files that need each other are one concept.', {}, { circular: true }),
    forbid('not-to-unresolvable', 'What is imported must exist.', {}, { couldNotResolve: true }),
    forbid('no-barrels', 'Import the file that has it.', { path: '^src/' }, { path: barrel }),
    forbid(
      'no-dead-files',
      'Every file of src serves the server or one of the commands beside it.',
      { path: entries },
      { path: '^src/', pathNot: [...entries, spec, '[.]d[.]ts$'], reachable: false },
    ),
    forbid(
      'src-not-to-test',
      'The product does not know its tests.',
      { path: '^src/', pathNot: spec },
      { path: ['^test/', spec] },
    ),
    forbid(
      'src-not-to-dev-dependencies',
      'The production image has none of them; a type is gone by then.',
      { path: '^src/', pathNot: spec },
      {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
        pathNot: 'node_modules/@types/',
      },
    ),
    forbid(
      'config-for-wiring-only',
      'A setting is handed in; who takes it does not know where it came from.',
      { path: '^src/', pathNot: [...wiring, spec, '^src/config/'] },
      { path: '^src/config/' },
    ),
    forbid(
      'config-imports-no-room',
      'The settings stand alone.',
      { path: '^src/config/', pathNot: spec },
      { path: '^src/', pathNot: '^src/config/' },
    ),
    forbid(
      'errors-import-no-room',
      'Everyone may know the errors, so they know nobody.',
      { path: '^src/errors/', pathNot: spec },
      { path: '^src/', pathNot: '^src/errors/' },
    ),
    forbid(
      'layers-apart',
      'A layer knows the next exchange, never which layer that is: the order stands in the composition alone.',
      { path: '^src/upstream/layers/', pathNot: spec },
      { path: '^src/upstream/layers/' },
    ),
    forbid(
      'upstream-inside',
      'The way of a read knows its ports, not who fulfils them.',
      { path: '^src/upstream/', pathNot: [...wiring, spec] },
      { path: '^src/', pathNot: upstreamMayKnow },
    ),
    forbid(
      'jobs-to-faces',
      'The jobs know the face of upstream and not how a read gets there.',
      { path: '^src/jobs/', pathNot: spec },
      { path: '^src/', pathNot: jobsMayKnow },
    ),
    forbid(
      'console-looks-on',
      'The console shows what it is handed: it cannot reach into the way of a read.',
      { path: '^src/console/', pathNot: [...wiring, spec] },
      { path: '^src/', pathNot: consoleMayKnow },
    ),
    forbid(
      'openapi-describes',
      'The description is made of the forms that the code goes by; it runs nothing.',
      { path: '^src/openapi/', pathNot: spec },
      { path: '^src/', pathNot: openapiMayKnow },
    ),
    forbid(
      'pages-for-all',
      'How pages are served knows none of them.',
      { path: '^src/pages/', pathNot: spec },
      { path: '^src/', pathNot: ['^src/pages/', '^src/errors/'] },
    ),
    forbid(
      'page-in-the-browser',
      'A page has its own files (the console also uPlot); it imports nothing of the server, and the server nothing of it.',
      { path: '^src/([^/]+)/page/' },
      { path: '', pathNot: ['^src/$1/page/', 'node_modules/uplot/'] },
    ),
    forbid(
      'server-not-to-page',
      'Pages run in browsers: the server reads them as text.',
      { path: '^src/', pathNot: '^src/[^/]+/page/' },
      { path: '^src/[^/]+/page/' },
    ),
    forbid(
      'events-to-faces',
      'A watcher is a reader as any other: nothing of the way of a read is its own.',
      { path: '^src/events/', pathNot: spec },
      { path: '^src/', pathNot: eventsMayKnow },
    ),
  ],
  options: {
    doNotFollow: { path: ['node_modules', '^test/'] },
    // Imports of types are arrows as well.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types', 'default'],
    },
  },
};
