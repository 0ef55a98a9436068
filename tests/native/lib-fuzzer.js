/** The compiler that brings libFuzzer. */
import { spawnSync } from 'node:child_process';

/**
 * What succeeds where a program can be linked with libFuzzer and the sanitizers.
 *
 * @param {string} clang
 * @returns {string[]} a command
 */
export const canFuzz = (clang) => ['sh', '-c', 'echo "int LLVMFuzzerTestOneInput(void) { return 0; }" | '
  + `${clang} -fsanitize=fuzzer,address,undefined -x c - -o /dev/null`];

/** @returns {string | undefined} the name of a clang that can, none if there is none */
export function fuzzingClang() {
  return ['clang', 'clang-14'].find((clang) => {
    const [program, ...args] = canFuzz(clang);
    return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
  });
}
