// How long does a training step take, of a classifier (also on sentences of their real lengths) and of a character GPT?
#include <mat/models/text_classifier.hpp>
#include <mat/training/adamw.hpp>
#include <mat/training/clip.hpp>
#include <mat/training/cross_entropy.hpp>

#include <bench/char_gpt.hpp>
#include <bench/suite.hpp>
#include <bench/train_step.hpp>
#include <bench/workload.hpp>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <unordered_map>

namespace {

using namespace bench;
using mat::Index;

/// A batch as TextClassifier and CharGpt read it.
struct MatBatch {
  mat::TokenBatch tokens;
  mat::Sequences sequences;
  std::vector<Index> targets;

  explicit MatBatch(const TrainBatch& batch)
      : sequences(sequences_of(batch.lengths)), targets(batch.targets.begin(), batch.targets.end()) {
    auto id = batch.ids.begin();
    for (const std::int64_t length : batch.lengths) {
      for (std::int64_t t = 0; t < length; ++t) tokens.add_token(*id++);
      tokens.end_text();
    }
  }
};

using Classifier = mat::TextClassifier<float>;

Classifier make_classifier(const TrainWork& work) {
  Classifier::Config config;
  config.kind = mat::ClassifierKind::vanilla;
  config.vocabulary = work.vocabulary;
  config.classes = work.classes;
  config.dim = work.d_model;
  config.hidden = work.dim_feedforward;
  config.heads = work.nhead;
  config.layers = work.num_layers;
  config.filters = 0;
  return Classifier(config, mat::Random(1));
}
CharGpt make_char_gpt(const TrainWork& work) {
  const Index context = work.batches[0].lengths[0];
  return CharGpt({work.vocabulary, context, work.d_model, work.nhead, work.dim_feedforward, work.num_layers},
                 mat::Random(1));
}
mat::ConstMatrixView<float> logits_of(const Classifier& model, const MatBatch& batch, Classifier::Cache& cache) {
  return model.forward(batch.tokens, cache);
}
mat::ConstMatrixView<float> logits_of(const CharGpt& model, const MatBatch& batch, CharGpt::Cache& cache) {
  return model.forward(batch.tokens.words, batch.sequences, cache);
}

template <class Model>
class MatTrainStep final : public Contestant {
 public:
  /// `description` without its weights, which will be those of `model`.
  MatTrainStep(const TrainWork& description, Model model)
      : work_(description),
        batches_(description.batches.begin(), description.batches.end()),
        model_(std::move(model)),
        grads_(mat::zeros_like(model_.parameters())),
        optimizer_(model_.parameters()) {
    work_.weights = arrays_of(model_.parameters());
  }
  [[nodiscard]] const TrainWork& work() const { return work_; }

  void run() override {
    for (const MatBatch& batch : batches_) step(batch);
  }
  std::vector<Result> results() override {
    std::vector<Result> results{{"losses", {}}};
    for (std::size_t i = 0; i < kCheckedSteps; ++i) {
      const auto loss = static_cast<float>(step(batches_[i % batches_.size()]));
      results[0].values.push_back(loss);
      if (i == 0) append_results(grads_, results);
    }
    return results;
  }

 private:
  double step(const MatBatch& batch) {
    mat::set_zero(grads_);
    const double loss = loss_.forward(logits_of(model_, batch, cache_), batch.targets, loss_cache_);
    model_.backward(loss_.backward(loss_cache_), cache_, grads_);
    mat::clip_grad_norm(grads_);
    optimizer_.step(model_.parameters(), grads_);
    return loss;
  }

  TrainWork work_;
  std::vector<MatBatch> batches_;
  Model model_;
  typename Model::Parameters grads_;
  typename Model::Cache cache_;
  mat::AdamW<typename Model::Parameters> optimizer_;
  mat::CrossEntropy<float> loss_;
  mat::CrossEntropy<float>::Cache loss_cache_;
};

template <class Model>
Contestants contestants(const TrainWork& work, Model model) {
  auto ours = std::make_unique<MatTrainStep<Model>>(work, std::move(model));
  Contestants all;
  if constexpr (kTorch) {
    all.push_back(torch_train_step(ours->work(), TorchOptimizer::loop));
    all.push_back(torch_train_step(ours->work(), TorchOptimizer::fused));
  }
  all.insert(all.begin(), std::move(ours));
  return all;
}

/// One forward has the products of the layers and of the head; a backward has twice as many.
double flops_of(const TrainWork& work) {
  const bool causal = work.model == TrainModel::char_gpt;
  const auto d = static_cast<double>(work.d_model), hidden = static_cast<double>(work.dim_feedforward);
  double flops = 0;
  for (const TrainBatch& batch : work.batches) {
    flops += static_cast<double>(work.num_layers) * encoder_layer_flops(batch.lengths, d, hidden, causal);
    flops += 2 * d * static_cast<double>(work.classes) * static_cast<double>(batch.targets.size());
  }
  return 3 * flops;
}

void add_case(Suite& suite, const std::string& name, const TrainWork& work) {
  Case c;
  c.name = "train_step/" + name;
  c.contestants = with_torch({"mat"}, {"torch", "torch-fused"});
  c.flops = flops_of(work);
  // The gradient of relu jumps at 0: of two million inputs one may round to either side, and moves a token's gradient.
  if (work.model == TrainModel::classifier) c.tolerance = 1e-2;
  for (const TrainBatch& batch : work.batches) c.items += static_cast<double>(batch.lengths.size());
  c.item_rate = "sentences/s";
  c.make = [work] {
    return work.model == TrainModel::classifier ? contestants(work, make_classifier(work))
                                                : contestants(work, make_char_gpt(work));
  };
  suite.add(std::move(c));
}

void add_random(Suite& suite, const std::string& name, TrainWork work, std::int64_t count, std::int64_t length) {
  TrainBatch batch;
  batch.lengths.assign(static_cast<std::size_t>(count), length);
  batch.ids = random_integers(count * length, 0, work.vocabulary - 1, 2);
  const bool each_token = work.model == TrainModel::char_gpt;
  batch.targets = random_integers(each_token ? count * length : count, 0, work.classes - 1, 3);
  work.batches.push_back(batch);
  add_case(suite, name, work);
}

/// The first 16 batches of 32 questions, in the order of the file; words lie between spaces.
TrainWork trec6(std::ifstream& file) {
  TrainWork work;
  std::unordered_map<std::string, std::int64_t> words, labels;
  const auto id_of = [](auto& ids, const std::string& key) {
    return ids.emplace(key, static_cast<std::int64_t>(ids.size())).first->second;
  };
  for (std::string line; std::getline(file, line);) {
    if (work.batches.empty() || work.batches.back().lengths.size() == 32) work.batches.emplace_back();
    TrainBatch& batch = work.batches.back();
    const std::size_t tab = line.find('\t');
    batch.targets.push_back(id_of(labels, line.substr(0, tab)));
    std::istringstream text(line.substr(tab + 1));
    const std::size_t before = batch.ids.size();
    for (std::string word; text >> word;) batch.ids.push_back(id_of(words, word));
    batch.lengths.push_back(static_cast<std::int64_t>(batch.ids.size() - before));
  }
  work.batches.resize(std::min<std::size_t>(work.batches.size(), 16));
  work.vocabulary = static_cast<std::int64_t>(words.size());
  work.classes = static_cast<std::int64_t>(labels.size());
  return work;
}

}  // namespace

int main(int argc, char** argv) {
  Suite suite;
  TrainWork classifier;
  classifier.vocabulary = 10000;
  classifier.classes = 6;
  add_random(suite, "classifier_B32_T64", classifier, 32, 64);

  TrainWork gpt;
  gpt.model = TrainModel::char_gpt;
  gpt.vocabulary = gpt.classes = 96;
  gpt.num_layers = 4;
  add_random(suite, "char_gpt_B12_T64", gpt, 12, 64);

  const char* folder = std::getenv("MAT_DATA_DIR");
  const std::filesystem::path data =
      folder != nullptr ? folder : std::filesystem::path(__FILE__).parent_path() / "../../shared/data";
  const std::filesystem::path path = (data / "cls/trec6/train.tsv").lexically_normal();
  std::ifstream file(path);
  if (file) {
    add_case(suite, "classifier_trec6_512_sentences", trec6(file));
  } else {
    std::fprintf(stderr, "%s is not there: train_step/classifier_trec6_512_sentences is left out\n", path.c_str());
  }
  return suite.run(argc, argv);
}
