// How long does one sequence take through a small encoder, in inference?
#include <bench/mat_encoder.hpp>

int main(int argc, char** argv) {
  bench::Suite suite;
  for (const std::int64_t length : {1, 8, 64}) {
    bench::EncoderWork work;
    work.length = length, work.d_model = 64, work.nhead = 4, work.dim_feedforward = 256, work.num_layers = 2;
    bench::Case c = bench::encoder_case("latency/encoder_d64_h4_ff256_L2_T" + std::to_string(length), work);
    // For one token the weights are read and used once.
    if (length == 1) c.bytes = 4.0 * 2 * (4 * 64 * 64 + 2 * 64 * 256);
    suite.add(std::move(c));
  }
  return suite.run(argc, argv);
}
