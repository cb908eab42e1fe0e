#include "infer/json_schema.h"

#include <string>
#include <vector>

#include "infer/decimal.h"
#include "infer/grammar_builder.h"
#include "infer/json_schema_compiler.h"
#include "infer/json_schema_document.h"
#include "infer/json_schema_values.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

constexpr size_t kSchemaBytes = size_t{1} << 22;
constexpr size_t kNameComparisons = 50'000'000;  // an object of 10,000 members: less than a second

/// Limits the nesting and the work before anything walks the document by recursion. The parser compares the names
/// of an object with each other.
Status CheckText(std::string_view text) {
  if (text.size() > kSchemaBytes) {
    return Exhausted("the schema has " + std::to_string(text.size()) + " bytes, more than " +
                     std::to_string(kSchemaBytes));
  }
  std::vector<size_t> members;  // by nesting
  size_t comparisons = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '{' || c == '[') members.push_back(0);
    if (c == ':' && !members.empty()) comparisons += ++members.back();
    if ((c == '}' || c == ']') && !members.empty()) members.pop_back();
    if (members.size() > static_cast<size_t>(GrammarLimits::kNesting))
      return InvalidArgument("the schema is nested too deep");
    if (comparisons > kNameComparisons) return Exhausted("the schema has objects with too many members");
  }
  return OkStatus();
}

}  // namespace

Result<std::shared_ptr<const Grammar>> JsonObjectGrammar() {
  GrammarBuilder builder;
  JsonExpressions json(&builder);
  const Expr text = builder.Sequence({json.OptionalSpace(), json.AnyObject()});
  return builder.Build(builder.RuleOf(text, "JSON", GrammarBuilder::kNoPlace),
                       [](size_t) { return std::string(); });
}

Result<std::shared_ptr<const Grammar>> JsonSchemaGrammar(std::string_view schema) {
  TERN_RETURN_IF_ERROR(CheckText(schema));
  if (const std::string_view number = FindInexactNumber(schema); !number.empty()) {
    return Unsupported("the number " + std::string(number.substr(0, 64)) + " of the schema is beyond what is held exactly");
  }
  try {
    const Json root = Json::parse(schema);
    const SchemaDocument document(root);
    return SchemaCompiler(document).Run();
  } catch (const nlohmann::json::exception& error) {
    return InvalidArgument(std::string("the schema is not JSON: ") + error.what());
  }
}

}  // namespace tern
