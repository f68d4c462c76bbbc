// How fast is an encoder layer, in inference and with its backward?
#include <bench/mat_encoder.hpp>

int main(int argc, char** argv) {
  bench::Suite suite;
  for (const bool backward : {false, true}) {
    const std::string what = backward ? "encoder/forward_backward_" : "encoder/forward_";
    bench::EncoderWork work;
    work.backward = backward;
    work.batch = 32, work.length = 64, work.d_model = 128, work.nhead = 4, work.dim_feedforward = 512;
    suite.add(bench::encoder_case(what + "d128_h4_ff512_B32_T64", work));
    work.batch = 8, work.length = 64, work.d_model = 512, work.nhead = 8, work.dim_feedforward = 2048;
    suite.add(bench::encoder_case(what + "d512_h8_ff2048_B8_T64", work));
  }
  return suite.run(argc, argv);
}
