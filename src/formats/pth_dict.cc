#include "formats/pth_dict.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace tern {
namespace {

constexpr int kMaxDictLevels = 6;  // of values around the one that holds the tensors

// Lightning and many scripts; torch's tutorials; DeepSpeed; scripts again.
constexpr std::string_view kModelNames[] = {"state_dict", "model_state_dict", "module", "model",
                                            "model_state"};

/// A value of a dict or sequence, and its name: a dict's key, else its number.
struct NamedValue {
  std::string name;
  PickleId id;
};

bool IsContainer(PickleKind kind) {
  return kind == PickleKind::kDict || kind == PickleKind::kList || kind == PickleKind::kTuple;
}

std::vector<NamedValue> ValuesOf(const Pickle& pickle, PickleId container) {
  std::vector<NamedValue> values;
  const auto items = pickle.Items(container);
  if (pickle.kind(container) != PickleKind::kDict) {
    for (size_t i = 0; i < items.size(); ++i) values.push_back({fmt::format("{}", i), items[i]});
    return values;
  }
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool text = pickle.kind(items[i]) == PickleKind::kString;
    values.push_back(
        {text ? std::string(pickle.String(items[i])) : fmt::format("value {}", i / 2), items[i + 1]});
  }
  return values;
}

/// Whether a tensor stands in the dict itself.
bool HoldsTensors(const Pickle& pickle, PickleId dict) {
  if (pickle.kind(dict) != PickleKind::kDict) return false;
  const auto items = pickle.Items(dict);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (pickle.kind(items[i]) == PickleKind::kString && pickle.kind(items[i + 1]) == PickleKind::kTensor)
      return true;
  }
  return false;
}

/// Looks for tensors below a value. Each container is looked into once, however often it is referred to.
class TensorSearch {
 public:
  explicit TensorSearch(const Pickle& pickle) : pickle_(pickle) {}

  bool Find(PickleId start) {
    std::vector<PickleId> waiting = {start};
    std::vector<bool> seen;
    while (!waiting.empty()) {
      const PickleId id = waiting.back();
      waiting.pop_back();
      if (pickle_.kind(id) == PickleKind::kTensor) return true;
      if (!IsContainer(pickle_.kind(id))) continue;
      if (seen.size() <= id) seen.resize(id + 1, false);
      if (seen[id]) continue;
      seen[id] = true;
      const auto items = pickle_.Items(id);
      waiting.insert(waiting.end(), items.begin(), items.end());
    }
    return false;
  }

 private:
  const Pickle& pickle_;
};

Status RefuseObject(const std::string& what, const std::string& maker) {
  return Unsupported(
      fmt::format("{} is an object of '{}', which only that code could make, and Tern runs no code from "
                  "files: save the model's state_dict() instead",
                  what, maker.empty() ? "an unknown class" : maker));
}

class DictFinder {
 public:
  explicit DictFinder(const Pickle& pickle) : pickle_(pickle) {}

  Result<PickleId> Find() {
    PickleId value = pickle_.root();
    if (pickle_.kind(value) == PickleKind::kOpaque)
      return RefuseObject("what it holds", pickle_.MakerOf(value));
    for (int level = 0; level < kMaxDictLevels; ++level) {
      if (!IsContainer(pickle_.kind(value))) break;
      const std::vector<NamedValue> values = ValuesOf(pickle_, value);
      const NamedValue* model = FindNamed(values);
      const bool here = HoldsTensors(pickle_, value);
      // A step count may be a tensor: the dict of the model is inside then.
      if (here && (model == nullptr || !HoldsTensors(pickle_, model->id))) return value;
      if (model != nullptr && pickle_.kind(model->id) == PickleKind::kOpaque) {
        return RefuseObject(fmt::format("its '{}'", model->name), pickle_.MakerOf(model->id));
      }
      if (model == nullptr) {
        TERN_ASSIGN_OR_RETURN(model, FindOnly(values));
      }
      value = model->id;
    }
    return Unsupported("it holds no dict of tensors");
  }

 private:
  /// The value under one of the usual names, if it may hold tensors or is an opaque value in place of
  /// tensors.
  const NamedValue* FindNamed(const std::vector<NamedValue>& values) const {
    for (const std::string_view name : kModelNames) {
      for (const NamedValue& value : values) {
        if (value.name != name) continue;
        const bool object =
            pickle_.kind(value.id) == PickleKind::kOpaque && !pickle_.MakerOf(value.id).empty();
        if (object || TensorSearch(pickle_).Find(value.id)) return &value;
      }
    }
    return nullptr;
  }

  /// The only value with tensors; of several, the only one that is a dict of tensors itself.
  Result<const NamedValue*> FindOnly(const std::vector<NamedValue>& values) const {
    std::vector<const NamedValue*> direct, deeper;
    for (const NamedValue& value : values) {
      if (HoldsTensors(pickle_, value.id)) {
        direct.push_back(&value);
      } else if (IsContainer(pickle_.kind(value.id)) && TensorSearch(pickle_).Find(value.id)) {
        deeper.push_back(&value);
      }
    }
    const auto& found = direct.empty() ? deeper : direct;
    if (found.size() == 1) return found[0];
    if (found.empty()) return ExplainNone(values);
    std::string names;
    for (const NamedValue* value : found)
      names += fmt::format("{}'{}'", names.empty() ? "" : ", ", value->name);
    return Unsupported(
        fmt::format("it holds several dicts of tensors ({}), none of them called state_dict, "
                    "model_state_dict, module or model",
                    names));
  }

  Status ExplainNone(const std::vector<NamedValue>& values) const {
    for (const NamedValue& value : values) {
      if (pickle_.kind(value.id) == PickleKind::kOpaque && !pickle_.MakerOf(value.id).empty()) {
        return RefuseObject(fmt::format("it holds no tensors by name; its '{}'", value.name),
                            pickle_.MakerOf(value.id));
      }
    }
    return Unsupported("it holds no tensors by name");
  }

  const Pickle& pickle_;
};

}  // namespace

Result<PickleId> FindTensorDict(const Pickle& pickle) { return DictFinder(pickle).Find(); }

}  // namespace tern
