// A memory of your own: the sum of everything that a stream has produced. It keeps the contract of
// mat/memory/memory.hpp, so the library's encoder reads segments with it, and its gradients cross them.
//   read   r_t = m          write   m' = m + sum_t h_t / 16          m = first, which is learned, at the beginning
#include <mat/memory/recurrence.hpp>
#include <mat/memory/recurrent_encoder.hpp>

#include <cstdio>

using mat::Index, mat::Matrix, mat::Sequences, mat::ParameterName;
using Rows = mat::ConstMatrixView<double>;

class RunningSum {
 public:
  static constexpr mat::MemoryPlace kPlace = mat::MemoryPlace::branch;
  static constexpr double kRate = 1.0 / 16;
  struct Config {
    Index features = 0;
  };
  struct State {
    Matrix<double> m;  // [sequences, features]; first: [1, features]
    template <class Visitor, class... S>
    static void visit(Visitor&& visitor, S&... s) {
      mat::visit_tensor("m", visitor, s.m...);
    }
  };
  using Parameters = State;
  struct ReadCache {
    Matrix<double> belongs;  // 1 where a token is of a sequence: [tokens, sequences]
    Matrix<double> y;        // what is read, and the gradients of x and h: [tokens, features]
  };
  using WriteCache = ReadCache;

  RunningSum(const Config& config, const mat::Random&) : first_{Matrix<double>({1, config.features})} {}
  const Parameters& parameters() const { return first_; }
  Parameters& parameters() { return first_; }

  void initial(Index batch, State& s) const {
    s.m.resize({batch, first_.m.cols()});
    s.m.matrix().rowwise() = first_.m.matrix().row(0);
  }
  void initial_backward(const State& ds, Parameters& grads) const {
    grads.m.matrix().row(0) += ds.m.matrix().colwise().sum();
  }
  Rows read(const State& s, Rows, const Sequences& q, ReadCache& c) const {
    begin(q, c);
    c.y.matrix() = c.belongs.matrix() * s.m.matrix();
    return c.y;
  }
  Rows read_backward(Rows dr, const State&, ReadCache& c, State& ds, Parameters&) const {
    ds.m.matrix() += c.belongs.matrix().transpose() * dr.matrix();
    c.y.fill(0);  // x was not read
    return c.y;
  }
  void write(const State& s, Rows h, const Sequences& q, State& next, WriteCache& c) const {
    begin(q, c);
    next = s;
    next.m.matrix() += kRate * c.belongs.matrix().transpose() * h.matrix();
  }
  Rows write_backward(const State& dnext, const State&, WriteCache& c, State& ds, Parameters&) const {
    ds.m.matrix() += dnext.m.matrix();
    c.y.matrix() = kRate * c.belongs.matrix() * dnext.m.matrix();
    return c.y;
  }

 private:
  void begin(const Sequences& q, ReadCache& c) const {
    c.belongs.resize({q.rows(), q.count()});
    c.y.resize({q.rows(), first_.m.cols()});
    c.belongs.fill(0);
    for (Index b = 0; b < q.count(); ++b) c.belongs.matrix().col(b).segment(q.begin(b), q.length(b)).fill(1);
  }

  Parameters first_;
};

using Model = mat::RecurrentEncoder<double, RunningSum>;

// Three segments of two sequences; the loss is <y, dy> of the last alone: what came before is reached by memory only.
struct Story {
  std::vector<Sequences> sequences{Sequences({2, 3}), Sequences({3, 0}), Sequences({1, 2})};
  std::vector<Matrix<double>> x{Matrix<double>({5, 4}), Matrix<double>({3, 4}), Matrix<double>({3, 4})};
  [[nodiscard]] Model::Segment segment(Index i) const {
    return {x[static_cast<std::size_t>(i)], &sequences[static_cast<std::size_t>(i)]};
  }
};

int main() {
  Model::Config config;
  config.encoder.layer.d_model = 4;
  config.encoder.layer.dim_feedforward = 8;
  config.encoder.layer.activation = mat::Activation::gelu;
  Model model(config, mat::Random(1));
  Story story;
  for (Matrix<double>& x : story.x) mat::initialize_normal<double>(x, 1.0, mat::Random(2).split(x.size()));
  Matrix<double> last_dy({3, 4}), none({5, 4});
  mat::initialize_normal<double>(last_dy, 1.0, mat::Random(3));

  const auto loss = [&] {
    Model::State state, next;
    Model::Cache cache;
    model.initial(2, state);
    double sum = 0;
    for (Index i = 0; i < 3; ++i) {
      const auto y = model.forward(story.segment(i), state, &next, {}, cache);
      std::swap(state, next);
      for (Index k = 0; i == 2 && k < y.size(); ++k) sum += y.data()[k] * last_dy.data()[k];
    }
    return sum;
  };
  const mat::Recurrence<Model> recurrence({});
  mat::Recurrence<Model>::Cache cache;
  Model::Parameters grads = mat::zeros_like(model.parameters());
  const auto dy = [&](Index i, Rows y) -> Rows {
    return i == 2 ? last_dy.view() : none.view().middle_rows(0, y.rows());
  };
  recurrence.backward(
      model, 3, [&](Index i) { return story.segment(i); }, {}, dy, {}, cache, grads);

  double worst = 0, of_first = 0;
  mat::for_each_parameter(
      [&](const ParameterName& name, auto& values, const auto& gradient) {
        for (Index i = 0; i < values.size(); ++i) {
          const double value = values.data()[i], step = 1e-5;
          values.data()[i] = value + step;
          const double above = loss();
          values.data()[i] = value - step;
          const double below = loss();
          values.data()[i] = value;
          worst = std::max(worst, std::abs((above - below) / (2 * step) - gradient.data()[i]));
          if (name.leaf() == "m") of_first = std::max(of_first, std::abs(gradient.data()[i]));
        }
      },
      model.parameters(), grads);
  std::printf("parameters:                      %lld\n",
              static_cast<long long>(mat::parameter_count(model.parameters())));
  std::printf("gradients agree to 1e-8:         %s\n", worst < 1e-8 ? "yes" : "no");
  std::printf("the first state learns through all segments: %s\n", of_first > 1e-3 ? "yes" : "no");
  return worst < 1e-8 && of_first > 1e-3 ? 0 : 1;
}
