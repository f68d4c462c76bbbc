#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <mat/io/checkpoint.hpp>

namespace checkpoint_test {

using mat::LoadOptions;
using mat::LoadReport;
using mat::Safetensors;
using mat::SafetensorsWriter;
using Names = std::vector<std::string>;

namespace {

/// A layer with one matrix and a bias that may be empty.
template <class T>
struct Affine {
  struct Parameters {
    mat::Matrix<T> weight;
    mat::Vector<T> bias;

    template <class Visitor, class... P>
    static void visit(Visitor&& visitor, P&... p) {
      mat::visit_tensor("weight", visitor, p.weight...);
      mat::visit_tensor("bias", visitor, p.bias...);
    }
  };
  [[nodiscard]] const Parameters& parameters() const { return values; }
  [[nodiscard]] Parameters& parameters() { return values; }
  Parameters values;
};

/// The parameters of a model: a table and a list of layers.
template <class T>
struct Model {
  mat::Tensor<T, 3> table;
  std::vector<Affine<T>> layers;

  template <class Visitor, class... P>
  static void visit(Visitor&& visitor, P&... p) {
    mat::visit_tensor("table", visitor, p.table...);
    mat::visit_layers("layers", visitor, p.layers...);
  }
};

template <class T>
Model<T> model_of(T start) {
  Model<T> model;
  model.table = mat::Tensor<T, 3>({1, 2, 2});
  model.layers.resize(2);
  model.layers[0].values.weight = mat::Matrix<T>({2, 3});
  model.layers[0].values.bias = mat::Vector<T>({2});
  model.layers[1].values.weight = mat::Matrix<T>({1, 2});
  T next = start;
  mat::for_each_parameter(
      [&](const mat::ParameterName&, auto& tensor) {
        for (mat::Index i = 0; i < tensor.size(); ++i) tensor.data()[i] = next += T(0.37);
      },
      model);
  return model;
}

template <class T>
bool same(const Model<T>& a, const Model<T>& b) {
  bool equal = true;
  mat::for_each_parameter([&](const mat::ParameterName&, const auto& x, const auto& y) { equal = equal && x == y; }, a,
                          b);
  return equal;
}

/// A file with the tensors of `model`, but for what `change` does to the writer.
template <class Change>
Safetensors file_of(const Model<float>& model, Change&& change) {
  SafetensorsWriter writer;
  mat::add_parameters(writer, model);
  change(writer);
  return Safetensors::parse("m", writer.str());
}
Safetensors file_of(const Model<float>& model) {
  return file_of(model, [](SafetensorsWriter&) {});
}

}  // namespace

TEMPLATE_TEST_CASE("saved parameters load bit for bit", "[io]", float, double) {
  const mat::test::TemporaryFolder folder;
  const std::string path = folder.path("m.safetensors");
  const Model<TestType> saved = model_of<TestType>(1);
  mat::save_parameters(path, saved, {{"format", "pt"}});

  const Safetensors file = Safetensors::read(path);
  CHECK(file.metadata() == mat::Metadata{{"format", "pt"}});
  CHECK(file.entry("table").dtype == mat::dtype_of<TestType>());
  CHECK(file.entry("table").shape == std::vector<mat::Index>{1, 2, 2});
  Names names;
  for (const Safetensors::Entry& entry : file.entries()) names.push_back(entry.name);
  CHECK(names == Names{"layers.0.bias", "layers.0.weight", "layers.1.weight", "table"});

  Model<TestType> loaded = model_of<TestType>(100);
  const LoadReport report = mat::load_parameters(file, loaded);
  CHECK(report.missing.empty());
  CHECK(report.unexpected.empty());
  CHECK(same(saved, loaded));
}

TEST_CASE("parameters stored in another type are rounded to the model's", "[io]") {
  const Model<double> saved = model_of<double>(1);
  SafetensorsWriter writer;
  mat::add_parameters(writer, saved);
  Model<float> loaded = model_of<float>(0);
  mat::load_parameters(Safetensors::parse("m", writer.str()), loaded);
  CHECK(loaded.table(0, 1, 1) == static_cast<float>(saved.table(0, 1, 1)));
}

TEST_CASE("loading keeps the memory that the parameters have", "[io]") {
  Model<float> model = model_of<float>(0);
  const float* before = model.table.data();
  mat::load_parameters(file_of(model_of<float>(1)), model);
  CHECK(model.table.data() == before);
}

TEST_CASE("a strict load refuses missing and unexpected names and changes nothing", "[io]") {
  Model<float> smaller = model_of<float>(1);
  smaller.layers[0].values.bias = {};
  smaller.table = {};
  const mat::Vector<float> extra({1});
  const Safetensors file = file_of(smaller, [&](SafetensorsWriter& writer) { writer.add("extra", extra); });

  Model<float> model = model_of<float>(0);
  CHECK_THROWS_AS(mat::load_parameters(file, model), mat::FileError);
  CHECK_THROWS_WITH(mat::load_parameters(file, model),
                    "Safetensors: m: 2 missing: 'table', 'layers.0.bias'; 1 unexpected: 'extra'");
  CHECK(same(model, model_of<float>(0)));
}

TEST_CASE("a load that is not strict takes what is there and reports the rest", "[io]") {
  Model<float> smaller = model_of<float>(1);
  smaller.layers[0].values.bias = {};
  const mat::Vector<float> extra({1});
  const Safetensors file = file_of(smaller, [&](SafetensorsWriter& writer) { writer.add("extra", extra); });

  Model<float> model = model_of<float>(0);
  LoadOptions options;
  options.strict = false;
  const LoadReport report = mat::load_parameters(file, model, options);
  CHECK(report.missing == Names{"layers.0.bias"});
  CHECK(report.unexpected == Names{"extra"});
  CHECK(model.table == smaller.table);
  CHECK(model.layers[1].values.weight == smaller.layers[1].values.weight);
  CHECK(model.layers[0].values.bias == model_of<float>(0).layers[0].values.bias);
}

TEST_CASE("a tensor of another shape is refused, strict or not, and nothing changes", "[io]") {
  LoadOptions options;
  options.strict = GENERATE(true, false);
  Model<float> other = model_of<float>(1);
  Model<float> model = model_of<float>(0);
  SECTION("sizes differ") {
    other.layers[1].values.weight = mat::Matrix<float>({2, 1});
    CHECK_THROWS_WITH(mat::load_parameters(file_of(other), model, options),
                      "Safetensors: m: tensor 'layers.1.weight' is [2, 1], expected [1, 2]");
  }
  SECTION("the number of dimensions differs") {
    other.layers[1].values.weight = {};
    const mat::Vector<float> flat({2});
    const Safetensors file = file_of(other, [&](SafetensorsWriter& writer) { writer.add("layers.1.weight", flat); });
    CHECK_THROWS_WITH(mat::load_parameters(file, model, options),
                      "Safetensors: m: tensor 'layers.1.weight' is [2], expected [1, 2]");
  }
  CHECK(same(model, model_of<float>(0)));
}

TEST_CASE("a prefix picks one of several sets of parameters", "[io]") {
  const Model<float> weights = model_of<float>(1), moments = model_of<float>(2);
  SafetensorsWriter writer;
  mat::add_parameters(writer, weights, "model.");
  mat::add_parameters(writer, moments, "moment.");
  const Safetensors file = Safetensors::parse("m", writer.str());
  Model<float> loaded = model_of<float>(0);
  LoadOptions options;
  options.prefix = "moment.";
  mat::load_parameters(file, loaded, options);
  CHECK(same(loaded, moments));
  options.prefix = "model.";
  mat::load_parameters(file, loaded, options);
  CHECK(same(loaded, weights));
}

TEST_CASE("a foreign file loads under its own names", "[io]") {
  const Model<float> saved = model_of<float>(1);
  SafetensorsWriter writer;
  writer.add("bert.embeddings", saved.table);
  writer.add("bert.layer.0.weight", saved.layers[0].values.weight);
  writer.add("bert.layer.0.bias", saved.layers[0].values.bias);
  writer.add("bert.layer.1.weight", saved.layers[1].values.weight);
  writer.add("pooler.weight", saved.table);
  const Safetensors file = Safetensors::parse("m", writer.str());

  Model<float> loaded = model_of<float>(0);
  LoadOptions options;
  options.prefix = "bert.";
  mat::load_parameters(file, loaded, options, [](const std::string& name) -> std::string {
    if (name == "table") return "embeddings";
    return "layer" + name.substr(std::string("layers").size());
  });
  CHECK(same(saved, loaded));
}

TEST_CASE("two parameters may share one tensor of the file", "[io]") {
  const mat::Matrix<float> tied({2, 3}, {1, 2, 3, 4, 5, 6});
  SafetensorsWriter writer;
  writer.add("tied", tied);
  Model<float> model;
  model.layers.resize(2);
  model.layers[0].values.weight = model.layers[1].values.weight = mat::Matrix<float>({2, 3});
  mat::load_parameters(Safetensors::parse("m", writer.str()), model, {}, [](const std::string&) { return "tied"; });
  CHECK(model.layers[0].values.weight == tied);
  CHECK(model.layers[1].values.weight == tied);
}

}  // namespace checkpoint_test
