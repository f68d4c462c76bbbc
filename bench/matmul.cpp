// How fast are the products that transformers are made of, beside Eigen's and PyTorch's of the same matrices?
#include <mat/ops/matmul.hpp>
#include <mat/ops/packed_matmul.hpp>

#include <bench/matmul.hpp>
#include <bench/suite.hpp>
#include <bench/workload.hpp>

namespace {

using namespace bench;
using mat::Matrix;

/// The library with plain weights and with packed ones, and Eigen.
enum class Way { mat, packed, eigen };

class EigenOrMat final : public Contestant {
 public:
  EigenOrMat(const MatmulWork& sizes, Way way)
      : way_(way),
        x_(random_matrix(sizes.rows, sizes.in, 1)),
        w_(random_matrix(sizes.out, sizes.in, 2)),
        packed_(w_),
        y_({sizes.rows, sizes.out}),
        work_{sizes.rows, sizes.out, sizes.in, x_.data(), w_.data()} {}
  [[nodiscard]] const MatmulWork& work() const { return work_; }

  void run() override {
    if (way_ == Way::mat) {
      mat::matmul<float>(x_, mat::transposed<float>(w_), y_);
    } else if (way_ == Way::packed) {
      mat::packed_matmul<float>(x_, packed_, y_);
    } else {
      y_.matrix().noalias() = x_.matrix() * w_.matrix().transpose();
    }
    benchmark::DoNotOptimize(y_.data());
    benchmark::ClobberMemory();
  }
  std::vector<Result> results() override {
    run();
    return {result_of("y", y_)};
  }

 private:
  Way way_;
  Matrix<float> x_, w_;
  mat::PackedWeights<float> packed_;
  Matrix<float> y_;
  MatmulWork work_;
};

void add_shape(Suite& suite, const MatmulWork& sizes) {
  Case c;
  c.name = "matmul/rows" + std::to_string(sizes.rows) + "_out" + std::to_string(sizes.out) + "_in" +
           std::to_string(sizes.in);
  c.contestants = with_torch({"mat", "mat-packed", "eigen"}, {"torch"});
  c.flops = 2.0 * static_cast<double>(sizes.rows * sizes.out * sizes.in);
  // Few rows reuse the weights too little: reading them is the limit.
  const auto numbers = sizes.rows * (sizes.in + sizes.out) + sizes.out * sizes.in;
  if (sizes.rows <= 8) c.bytes = 4.0 * static_cast<double>(numbers);
  c.make = [sizes] {
    auto ours = std::make_unique<EigenOrMat>(sizes, Way::mat);
    Contestants all;
    all.push_back(std::make_unique<EigenOrMat>(sizes, Way::packed));
    all.push_back(std::make_unique<EigenOrMat>(sizes, Way::eigen));
    if constexpr (kTorch) all.push_back(torch_matmul(ours->work()));
    all.insert(all.begin(), std::move(ours));
    return all;
  };
  suite.add(std::move(c));
}

}  // namespace

int main(int argc, char** argv) {
  Suite suite;
  for (const std::int64_t rows : {1, 8, 64, 768, 2048}) {
    for (const auto& [out, in] : {std::pair{128, 128}, {512, 128}, {128, 512}}) add_shape(suite, {rows, out, in});
  }
  add_shape(suite, {512, 2048, 512});
  add_shape(suite, {512, 512, 512});
  return suite.run(argc, argv);
}
