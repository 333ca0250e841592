// A peer runs as long as the test that holds its standard input, and never longer than ten minutes,
// so that a test that was killed leaves nothing behind.
export function endWithStdin() {
  process.stdin.resume().on('end', () => process.exit());
  setTimeout(() => process.exit(1), 600_000);
}
