#include "conformance/onnx_node.hpp"
#include "conformance/suites.hpp"

namespace mat::conformance {

namespace {

template <class T>
OnnxAdapters<T> all_onnx_adapters() {
  OnnxAdapters<T> all;
  for (const OnnxAdapters<T>& group :
       {onnx_attention<T>(), onnx_linear_attention<T>(), onnx_layers<T>(), onnx_products<T>(), onnx_training<T>()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

template <class T>
OnnxValue<T> load(const Case& c, const std::string& tensor) {
  OnnxValue<T> value;
  const Dtype dtype = c.file().entry(tensor).dtype;
  value.is_bool = dtype == Dtype::kBool;
  value.is_whole = dtype != Dtype::kF64 && dtype != Dtype::kF32 && dtype != Dtype::kF16 && dtype != Dtype::kBf16;
  if (value.is_whole) {
    value.whole = c.array<Index>(tensor);
  } else {
    value.real = c.array<T>(tensor);
  }
  return value;
}

template <class T>
void run_node(const OnnxAdapters<T>& adapters, OnnxNode<T>& node) {
  for (const OnnxAdapter<T>& adapter : adapters) {
    if (adapter.op == node.op()) return adapter.run(node);
  }
  throw Unsupported("the library has no " + node.op());
}

template <class T>
void report_output(const OnnxValue<T>& value, std::size_t i, Results& results) {
  const std::string name = "output." + std::to_string(i);
  if (value.is_whole) {
    results.set(name, value.whole);
  } else {
    results.set(name, value.real);
  }
}

/// A case that is one operator.
template <class T>
void run_operator(const Case& c, const OnnxAdapters<T>& adapters, Results& results) {
  OnnxNode<T> node(c.text("op"), std::stol(c.text("opset")), c.json("attrs"), c.json("attr_defaults"));
  const Json inputs = c.json("inputs");
  for (std::size_t i = 0; i < inputs.as_array().size(); ++i) {
    const std::string name = "input." + std::to_string(i);
    node.add_input(c.has(name) ? std::optional<OnnxValue<T>>(load<T>(c, name)) : std::nullopt);
  }
  run_node(adapters, node);
  for (std::size_t i = 0; i < node.outputs().size(); ++i) {
    if (node.outputs()[i]) report_output(*node.outputs()[i], i, results);
  }
}

/// The numbers of nested lists, row by row; the shape is that of the first of each.
template <class E>
void flatten(const Json& numbers, std::size_t depth, Array<E>& all) {
  if (numbers.kind() != Json::Kind::kArray) {
    const bool truth = numbers.kind() == Json::Kind::kBoolean;
    all.values.push_back(static_cast<E>(truth ? numbers.as_bool() : numbers.as_double()));
    return;
  }
  if (depth == all.shape.size()) all.shape.push_back(static_cast<Index>(numbers.as_array().size()));
  for (const Json& row : numbers.as_array()) flatten(row, depth + 1, all);
}
/// The tensor in the attributes of a Constant.
template <class T>
OnnxValue<T> constant(const Json& tensor) {
  OnnxValue<T> value;
  const Json* dtype = tensor.find("dtype");
  const std::string name = dtype == nullptr ? "float32" : dtype->as_string();
  value.is_bool = name == "bool";
  value.is_whole = value.is_bool || name.find("int") != std::string::npos;
  if (value.is_whole) {
    flatten(tensor.at("tensor"), 0, value.whole);
  } else {
    flatten(tensor.at("tensor"), 0, value.real);
  }
  return value;
}

/// A case that is a graph of operators, as PyTorch exported it: values are known by their names in the graph.
template <class T>
void run_graph(const Case& c, OnnxAdapters<T> adapters, Results& results) {
  for (const OnnxAdapter<T>& adapter : onnx_graph_only<T>()) adapters.push_back(adapter);
  std::map<std::string, OnnxValue<T>> values;
  const Json inputs = c.json("inputs"), outputs = c.json("outputs"), graph = c.json("graph");
  for (std::size_t i = 0; i < inputs.as_array().size(); ++i) {
    values[inputs.as_array()[i].as_string()] = load<T>(c, "input." + std::to_string(i));
  }
  for (const Safetensors::Entry& entry : c.file().entries()) {
    if (entry.name.rfind("init.", 0) == 0) values[entry.name.substr(5)] = load<T>(c, entry.name);
  }
  for (const Json& row : graph.as_array()) {
    const Json::Array& names = row.at("outputs").as_array();
    if (row.at("op").as_string() == "Constant") {
      values[names.at(0).as_string()] = constant<T>(row.at("attrs").at("value"));
      continue;
    }
    OnnxNode<T> node(row.at("op").as_string(), std::stol(c.text("opset")), row.at("attrs"));
    for (const Json& name : row.at("inputs").as_array()) {
      const bool absent = name.as_string().empty();
      node.add_input(absent ? std::nullopt : std::optional<OnnxValue<T>>(values.at(name.as_string())));
    }
    run_node(adapters, node);
    for (std::size_t i = 0; i < names.size() && i < node.outputs().size(); ++i) {
      if (node.outputs()[i]) values[names[i].as_string()] = *node.outputs()[i];
    }
  }
  for (std::size_t i = 0; i < outputs.as_array().size(); ++i) {
    const auto found = values.find(outputs.as_array()[i].as_string());
    if (found != values.end()) report_output(found->second, i, results);
  }
}

template <class T>
void run_case(const Case& c, const OnnxAdapters<T>& adapters, CaseReport& report) {
  Results results;
  if (c.text("domain") == "graph") {
    run_graph(c, adapters, results);
  } else {
    run_operator(c, adapters, results);
  }
  const Tolerance tolerance{std::stod(c.text("rtol")), std::stod(c.text("atol"))};
  for (const Safetensors::Entry& entry : c.file().entries()) {
    if (entry.name.rfind("output.", 0) != 0) continue;
    TensorReport tensor = compare_with_file(c, entry.name, results, tolerance);
    if (!tensor.passed) report.fail(tensor.reason);
    report.tensors.push_back(std::move(tensor));
  }
  if (report.tensors.empty()) report.fail("the case has nothing to compare");
}

}  // namespace

template <class T>
void run_onnx_suite(const Selection& selection, Reports& reports) {
  const OnnxAdapters<T> adapters = all_onnx_adapters<T>();
  for (const Json& row : index_of(selection.folder / "onnx-node")) {
    const std::string name = row.at("name").as_string();
    if (!selection.wants(name)) continue;
    reports.push_back(report_case(name, "onnx-node", row.at("op").as_string(), [&](CaseReport& report) {
      const std::string path = (selection.folder / row.at("file").as_string()).string();
      run_case(Case(name, "onnx-node", Safetensors::read(path)), adapters, report);
    }));
  }
}

template void run_onnx_suite<float>(const Selection&, Reports&);
template void run_onnx_suite<double>(const Selection&, Reports&);

}  // namespace mat::conformance
