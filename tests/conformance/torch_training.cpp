#include "conformance/parameter_list.hpp"
#include "conformance/torch_settings.hpp"

#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>
#include <mat/training/schedule.hpp>
#include <mat/training/sgd.hpp>

namespace mat::conformance {

// Cross entropy, optimisers, clipping and learning rates.

template <class T>
void run_cross_entropy(const Case& c, Results& results) {
  const Array<T> logits = c.array<T>("input.logits");
  const std::vector<Index> order = classes_last(logits.rank());
  const Array<T> x = permuted(logits, order);
  typename CrossEntropy<T>::Config config;
  config.ignore_index = c.number("ignore_index", config.ignore_index);
  config.label_smoothing = static_cast<T>(c.real("label_smoothing", 0));
  if (c.has("input.weight")) config.weight.assign(vector_of(c.array<T>("input.weight")));
  config.reduction = reduction_of(c.word("reduction", "mean"));
  const CrossEntropy<T> loss(config);
  typename CrossEntropy<T>::Cache cache;
  const bool soft = c.flag("prob");
  const Array<Index> classes = soft ? Array<Index>() : c.array<Index>("input.target");
  const Array<T> distribution = soft ? permuted(c.array<T>("input.target"), order) : Array<T>();
  const Targets<T> targets = soft ? Targets<T>(matrix_of(distribution)) : Targets<T>(vector_of(classes));

  const double value = loss.forward(matrix_of(x), targets, cache);
  const Array<T> dloss = c.array<T>("grad_output.loss");
  ConstMatrixView<T> dx;
  if (config.reduction == Reduction::none) {
    results.set("output.loss", array_of(cache.losses.view(), {x.shape.begin(), x.shape.end() - 1}));
    dx = loss.backward(vector_of(dloss), cache);
  } else {
    results.set("output.loss", value);
    dx = loss.backward(dloss.values.at(0), cache);
  }
  results.set("grad_input.logits", permuted(array_of(dx, x.shape), inverse_of(order)));
}

/// One optim.* case: an optimiser over flat parameters, step by step.
template <class T>
class OptimizerCase {
 public:
  using P = ParameterList<T>;

  explicit OptimizerCase(const Case& c) : c_(c), kwargs_(c.config().at("kwargs")) {
    const Json inputs = c.json("inputs");
    for (const Json& input : inputs.as_array()) {
      const std::string name = input.as_string();
      if (name.rfind("param0.", 0) == 0) parameters_.add(name.substr(7), c.array<T>("input." + name));
    }
    for (const auto& [key, value] : kwargs_.as_object()) check_known(key);
  }

  void run(Results& results) {
    const std::string optimizer = c_.config().at("optimizer").as_string();
    if (optimizer == "SGD") {
      SgdConfig config;
      config.learning_rate = setting("lr", config.learning_rate);
      config.momentum = setting("momentum", 0);
      config.dampening = setting("dampening", 0);
      config.weight_decay = setting("weight_decay", 0);
      config.nesterov = is_set("nesterov");
      Sgd<P> sgd(parameters_, config, rule());
      steps(sgd, results);
    } else if (optimizer == "Adam") {
      AdamConfig config;
      set(config);
      Adam<P> adam(parameters_, config, rule());
      steps(adam, results);
    } else if (optimizer == "AdamW") {
      AdamWConfig config;
      set(config);
      AdamW<P> adamw(parameters_, config, rule());
      steps(adamw, results);
    } else {
      throw Unsupported("no optimiser " + optimizer);
    }
  }

 private:
  static void check_known(const std::string& key) {
    for (const char* known : {"lr", "momentum", "dampening", "weight_decay", "nesterov", "betas", "eps", "amsgrad"}) {
      if (key == known) return;
    }
    throw Unsupported("an optimiser with " + key);
  }
  [[nodiscard]] double setting(std::string_view key, double fallback) const {
    const Json* value = kwargs_.find(key);
    return value == nullptr ? fallback : value->as_double();
  }
  [[nodiscard]] bool is_set(std::string_view key) const {
    const Json* value = kwargs_.find(key);
    return value != nullptr && value->as_bool();
  }
  void set(AdamConfig& config) const {
    config.learning_rate = setting("lr", config.learning_rate);
    config.epsilon = setting("eps", config.epsilon);
    config.weight_decay = setting("weight_decay", config.weight_decay);
    config.amsgrad = is_set("amsgrad");
    if (const Json* betas = kwargs_.find("betas")) {
      config.beta1 = betas->as_array().at(0).as_double();
      config.beta2 = betas->as_array().at(1).as_double();
    }
  }
  /// Without decay for b, if the case says so.
  [[nodiscard]] auto rule() const {
    return [no_decay_b = c_.flag("no_decay_b")](std::string_view name, std::size_t) {
      ParameterGroup group;
      if (no_decay_b && name == "b") group.weight_decay = 0;
      return group;
    };
  }

  template <class Optimizer>
  void steps(Optimizer& optimizer, Results& results) {
    const std::size_t n = parameters_.tensors.size();
    const Index count = c_.config().at("steps").as_index();
    std::vector<Array<T>> gradients, after;
    for (std::size_t i = 0; i < n; ++i) {
      gradients.push_back(c_.array<T>("input.grad." + parameters_.names[i]));
      after.push_back(zeros<T>(gradients[i].shape));
    }
    Array<double> norms{{count}, {}};
    P grads = zeros_like(parameters_);
    for (Index s = 0; s < count; ++s) {
      for (std::size_t i = 0; i < n; ++i) grads.assign(i, gradients[i], s);
      if (const Json* clip = c_.option("clip")) {
        ClipConfig config;
        config.max_norm = clip->as_double();
        norms.values.push_back(clip_grad_norm(grads, config));
      }
      if (const Json* rates = c_.option("lrs")) {
        optimizer.set_learning_rate(rates->as_array().at(static_cast<std::size_t>(s)).as_double());
      }
      optimizer.step(parameters_, grads);
      for (std::size_t i = 0; i < n; ++i) {
        const Vector<T>& p = parameters_.tensors[i];
        std::copy_n(p.data(), p.size(), after[i].values.data() + s * p.size());
      }
    }
    for (std::size_t i = 0; i < n; ++i) results.set("output.param." + parameters_.names[i], after[i]);
    if (!norms.values.empty()) results.set("output.grad_norm", norms);
    report_state(optimizer.state(), results);
  }

  template <class State>
  void report_state(const State& state, Results& results) const {
    const std::size_t n = parameters_.tensors.size();
    std::size_t i = 0;
    for_each_parameter(
        [&](const ParameterName& name, const auto& tensor) {
          const std::vector<Index>& shape = parameters_.shapes[i++ % n];
          if (!tensor.empty()) results.set("output.state." + name.str(), array_of(tensor.view(), shape));
        },
        state);
  }

  const Case& c_;
  const Json& kwargs_;
  P parameters_;
};

template <class T>
void run_optimizer(const Case& c, Results& results) {
  OptimizerCase<T>(c).run(results);
}

template <class T>
void run_clip(const Case& c, Results& results) {
  ParameterList<T> grads;
  for (Index i = 0; c.has("input.grad." + std::to_string(i)); ++i) {
    grads.add(std::to_string(i), c.array<T>("input.grad." + std::to_string(i)));
  }
  ClipConfig config;
  config.max_norm = c.config().at("max_norm").as_double();
  const Json& type = c.config().at("norm_type");
  const bool infinite = type.kind() == Json::Kind::kString;  // "inf": JSON has no number for it
  config.norm_type = infinite ? std::numeric_limits<double>::infinity() : type.as_double();
  results.set("output.total_norm", clip_grad_norm(grads, config));
  for (std::size_t i = 0; i < grads.tensors.size(); ++i) {
    results.set("output.clipped." + grads.names[i], array_of(grads.tensors[i].view(), grads.shapes[i]));
  }
}

[[nodiscard]] inline Schedule schedule_of(const Case& c) {
  ScheduleConfig config;
  const std::string kind = c.config().at("kind").as_string();
  config.learning_rate = c.config().at("lr").as_double();
  config.warmup_steps = c.number("warmup", 0);
  config.total_steps = c.number("total", c.number("steps", 0));
  config.cycles = c.real("cycles", config.cycles);
  config.timescale = c.number("timescale", 0);
  config.features = c.number("d_model", config.features);
  config.peak_fraction = c.real("pct_start", config.peak_fraction);
  config.div_factor = c.real("div_factor", config.div_factor);
  config.final_div_factor = c.real("final_div_factor", config.final_div_factor);
  if (kind == "cosine" || kind == "linear_warmup_cosine") {
    config.start_factor = c.real("start_factor", 0);
    config.final_learning_rate = c.real("eta_min", 0);
    config.total_steps = config.warmup_steps + c.config().at("T_max").as_index();
    return Schedule::cosine_annealing(config);
  }
  if (kind == "hf_cosine") return Schedule::cosine(config);
  if (kind == "hf_linear") return Schedule::linear(config);
  if (kind == "inverse_sqrt") return Schedule::inverse_sqrt(config);
  if (kind == "noam") return Schedule::noam(config);
  if (kind == "one_cycle") {
    // PyTorch's scheduler was stepped once after each recorded rate, so it was made for one step more.
    config.total_steps = c.number("total", c.config().at("steps").as_index() + 1);
    return Schedule::one_cycle(config);
  }
  throw Unsupported("no schedule " + kind);
}

template <class T>
void run_schedule(const Case& c, Results& results) {
  const Schedule schedule = schedule_of(c);
  Array<double> rates{c.shape("output.lr"), {}};
  for (Index t = 0; t < count(rates.shape); ++t) rates.values.push_back(schedule.rate(t));
  results.set("output.lr", rates);
}

template <class T>
Adapters torch_training() {
  return {{"cross_entropy", run_cross_entropy<T>},
          {"optim.", run_optimizer<T>},
          {"clip_grad_norm_", run_clip<T>},
          {"lr_schedule.", run_schedule<T>}};
}

template Adapters torch_training<float>();
template Adapters torch_training<double>();

}  // namespace mat::conformance
