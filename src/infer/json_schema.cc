#include "infer/json_schema.h"

#include <string>
#include <vector>

#include "infer/grammar_builder.h"
#include "infer/json_schema_compiler.h"
#include "infer/json_schema_document.h"
#include "infer/json_schema_values.h"

namespace tern {
namespace {

using Expr = GrammarBuilder::Expr;

constexpr size_t kSchemaBytes = size_t{1} << 22;

/// Before anything walks the document by recursion.
bool TooDeep(std::string_view text) {
  int32_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    if (c == '"') in_string = !in_string;
    if (in_string) continue;
    if (c == '{' || c == '[') ++depth;
    if (c == '}' || c == ']') --depth;
    if (depth > GrammarLimits::kNesting) return true;
  }
  return false;
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
  if (schema.size() > kSchemaBytes) {
    return Exhausted("the schema has " + std::to_string(schema.size()) + " bytes, more than " +
                     std::to_string(kSchemaBytes));
  }
  if (TooDeep(schema)) return InvalidArgument("the schema is nested too deep");
  try {
    const Json root = Json::parse(schema);
    const SchemaDocument document(root);
    return SchemaCompiler(document).Run();
  } catch (const nlohmann::json::exception& error) {
    return InvalidArgument(std::string("the schema is not JSON: ") + error.what());
  }
}

}  // namespace tern
