/** Ends the run with one line for people and tools: `123 passed, 0 failed`. */
export default class ClosingLineReporter {
  onRunComplete(_contexts, results) {
    process.stdout.write(`${closingLine(results)}\n`);
  }
}

/** A test file that could not be run counts as a failure, and so does an interrupted run. */
export function closingLine(results) {
  const broken = results.numRuntimeErrorTestSuites + (results.wasInterrupted ? 1 : 0);
  const failed = results.numFailedTests + broken;
  const skipped = results.numPendingTests + results.numTodoTests;
  return `${results.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
