#include "formats/gguf_split.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "formats/checkpoint_names.h"
#include "formats/joined_source.h"

namespace tern {
namespace {

constexpr std::string_view kSplitNumber = "split.no", kSplitCount = "split.count",
                           kSplitTensors = "split.tensors.count";
constexpr int kMostParts = 65535;  // the keys are 16 bits wide

/// Exactly five digits, as gguf-split writes them.
std::optional<int> FiveDigits(std::string_view text) {
  constexpr size_t kDigits = 5;
  if (text.size() != kDigits || text.find_first_not_of("0123456789") != std::string_view::npos)
    return std::nullopt;
  int value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// A whole number from `least` to `most`.
Result<int> IntegerKey(const TensorSource& source, std::string_view key, int least, int most) {
  const auto value = MetaNumber(source.metadata(), std::string(key));
  if (!value)
    return Corrupt(fmt::format("'{}' is a part of a split GGUF, but has no key '{}'", source.path(), key));
  if (!(*value >= least && *value <= most) || *value != std::floor(*value)) {
    return Corrupt(fmt::format("'{}': {} is {}, expected {} to {}", source.path(), key, *value, least, most));
  }
  return static_cast<int>(*value);
}

Result<std::shared_ptr<const TensorSource>> OpenPart(const GgufPartName& name) {
  const std::string path = FormatGgufPartName(name);
  const auto missing = [&](const Status& status) {
    return status.WithContext(fmt::format("part {} of {} of a split GGUF", name.number, name.count));
  };
  auto file = MappedFile::Open(path);
  if (!file.ok()) return missing(file.status());
  auto source = OpenGguf(std::move(*file));
  if (!source.ok()) return missing(source.status());
  TERN_ASSIGN_OR_RETURN(const int count, IntegerKey(**source, kSplitCount, 1, kMostParts));
  TERN_ASSIGN_OR_RETURN(const int number, IntegerKey(**source, kSplitNumber, 0, kMostParts));
  if (count != name.count || number + 1 != name.number) {
    return Corrupt(fmt::format("'{}' says that it is part {} of {}, but its name says part {} of {}", path,
                               number + 1, count, name.number, name.count));
  }
  return source;
}

}  // namespace

std::optional<GgufPartName> ParseGgufPartName(std::string_view path) {
  constexpr std::string_view kOf = "-of-", kEnd = ".gguf";
  constexpr size_t kTail = 1 + 5 + kOf.size() + 5 + kEnd.size();  // -00001-of-00003.gguf
  if (path.size() < kTail || !path.ends_with(kEnd)) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kTail);
  const auto number = FiveDigits(tail.substr(1, 5));
  const auto count = FiveDigits(tail.substr(1 + 5 + kOf.size(), 5));
  if (tail[0] != '-' || tail.substr(6, kOf.size()) != kOf || !number || !count) return std::nullopt;
  if (*number < 1 || *number > *count || *count > kMostParts) return std::nullopt;
  return GgufPartName{std::string(path.substr(0, path.size() - kTail)), *number, *count};
}

std::string FormatGgufPartName(const GgufPartName& name) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", name.stem, name.number, name.count);
}

Result<std::shared_ptr<const TensorSource>> JoinGgufParts(std::shared_ptr<const TensorSource> part) {
  if (part->metadata().count(std::string(kSplitCount)) == 0) return part;
  TERN_ASSIGN_OR_RETURN(const int count, IntegerKey(*part, kSplitCount, 1, kMostParts));
  if (count == 1) return part;
  TERN_ASSIGN_OR_RETURN(const int number, IntegerKey(*part, kSplitNumber, 0, count - 1));
  auto name = ParseGgufPartName(part->path());
  if (!name || name->count != count || name->number != number + 1) {
    return Unsupported(fmt::format(
        "'{}' is part {} of {} of a split GGUF: its name must end in -{:05}-of-{:05}.gguf, so that "
        "the other parts can be found beside it",
        part->path(), number + 1, count, number + 1, count));
  }
  auto model = std::make_shared<JoinedSource>(FileFormat::kGguf, part->path());
  for (name->number = 1; name->number <= count; ++name->number) {  // the first part has the keys of the model
    if (name->number == number + 1) {
      TERN_RETURN_IF_ERROR(model->Take(part));
      continue;
    }
    TERN_ASSIGN_OR_RETURN(auto other, OpenPart(*name));
    TERN_RETURN_IF_ERROR(model->Take(std::move(other)));
  }
  const auto tensors = MetaNumber(model->metadata(), std::string(kSplitTensors));
  if (!tensors || *tensors != static_cast<double>(model->tensors().size())) {
    return Corrupt(fmt::format("'{}': the {} parts have {} tensors, but {} says {}", part->path(), count,
                               model->tensors().size(), kSplitTensors,
                               tensors ? fmt::format("{}", *tensors) : "nothing"));
  }
  for (const std::string_view key : {kSplitNumber, kSplitCount, kSplitTensors})
    model->Unset(std::string(key));
  return std::shared_ptr<const TensorSource>(std::move(model));
}

}  // namespace tern
