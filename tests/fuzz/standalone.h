/* SPDX-License-Identifier: MIT */
/* The main() of a fuzzer without libFuzzer: as many inputs as its argument says, of INPUT_BYTES, of
 * which ZEROS in 16 are 0. */
int main(int argc, char **argv)
{
	uint8_t input[INPUT_BYTES];
	uint64_t state = 88172645463325252u; /* xorshift64, Marsaglia 2003: the same run every time */

	for (long run = argc > 1 ? atol(argv[1]) : 1; run > 0; run--) {
		for (size_t i = 0; i < sizeof input; i++) {
			state ^= state << 13;
			state ^= state >> 7;
			state ^= state << 17;
			/* Mostly 0, which goes on, so that a run also comes to the last line. */
			input[i] = state >> 60 < ZEROS ? 0 : (uint8_t)(state >> 32);
		}
		LLVMFuzzerTestOneInput(input, sizeof input);
	}
	return 0;
}
