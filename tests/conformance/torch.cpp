#include "conformance/suites.hpp"

namespace mat::conformance {

template <class T>
Adapters all_torch_adapters() {
  Adapters all;
  for (const Adapters& group :
       {torch_layers<T>(), torch_attention<T>(), torch_memory<T>(), torch_memory_tokens<T>(), torch_segment_cache<T>(),
        torch_models<T>(), torch_decoder<T>(), torch_training<T>(), torch_train<T>()}) {
    all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

template <class T>
void run_torch_suite(const Selection& selection, Reports& reports) {
  const Adapters adapters = all_torch_adapters<T>();
  for (const Json& row : index_of(selection.folder / "torch")) {
    const std::string name = row.at("name").as_string();
    if (!selection.wants(name)) continue;
    reports.push_back(report_case(name, "torch", family_of(name), [&](CaseReport& report) {
      const std::filesystem::path path = selection.folder / row.at("file").as_string();
      report = run_torch_case<T>(Case(name, "torch", Safetensors::read(path.string())), adapters);
    }));
  }
}

template Adapters all_torch_adapters<float>();
template Adapters all_torch_adapters<double>();
template void run_torch_suite<float>(const Selection&, Reports&);
template void run_torch_suite<double>(const Selection&, Reports&);

}  // namespace mat::conformance
