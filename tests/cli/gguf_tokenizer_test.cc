// The tokenizer that a GGUF carries, or lacks: what convert says and keeps, and what --tokenizer reads.
#include <string>
#include <vector>

#include "tests/cli/cli_testing.h"
#include "tests/text/small_vocabularies.h"

namespace tern {
namespace {

using ::testing::HasSubstr;
using testing::Output;
using testing::RunTern;

class GgufTokenizer : public testing::CliTest {
 protected:
  GgufTokenizer() {
    RandomModel model = Rwkv7();
    model.vocab = 262;
    Write(model, File("words.pth"));
  }

  /// The keys of a byte-level BPE: the bytes have ids 2 to 257.
  static Metadata Gpt2Keys(const std::string& kind) {
    std::vector<std::string> tokens = {"<|endoftext|>", "[PAD1]"};
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(testing::ByteChar(byte));
    for (const char* token : {"ab", "abc"}) tokens.emplace_back(token);
    std::vector<int64_t> types(tokens.size(), 1);
    types[0] = 3, types[1] = 5;
    return {{"general.architecture", std::string("gptneox")},
            {"tokenizer.ggml.model", kind},
            {"tokenizer.ggml.pre", std::string("gpt-2")},
            {"tokenizer.ggml.tokens", tokens},
            {"tokenizer.ggml.token_type", types},
            {"tokenizer.ggml.merges", std::vector<std::string>{"a b", "ab c"}}};
  }

  /// A vocabulary alone, of a model that is not an RWKV.
  void WriteVocabularyAlone(const std::string& path, const std::string& kind) const {
    const Status written = WriteGguf(path, {}, Gpt2Keys(kind));
    ASSERT_TRUE(written.ok()) << written.message();
  }

  /// words.pth as a GGUF that carries the vocabulary.
  void WriteModelWithVocabulary(const std::string& path, const std::string& kind) const {
    ASSERT_EQ(RunTern({"convert", File("words.pth"), File("plain.gguf")}).code, 0);
    const auto source = OpenTensorSource(File("plain.gguf"));
    ASSERT_TRUE(source.ok()) << source.status().message();
    Metadata keys = (*source)->metadata();
    for (const auto& [key, value] : Gpt2Keys(kind)) {
      if (key.starts_with("tokenizer.")) keys[key] = value;
    }
    std::vector<OutputTensor> outputs;
    for (const TensorInfo& tensor : (*source)->tensors()) {
      const auto view = tensor.bytes;
      outputs.push_back({tensor.name, tensor.dtype, tensor.shape, [view]() -> Result<TensorBytes> {
                           return TensorBytes{.view = view, .owned = {}};
                         }});
    }
    const Status written = WriteGguf(path, outputs, keys);
    ASSERT_TRUE(written.ok()) << written.message();
  }
};

TEST_F(GgufTokenizer, ConvertSaysWhenThereIsNone) {
  const auto without = RunTern({"convert", File("words.pth"), File("a.gguf")});
  EXPECT_EQ(without.code, 0) << without.err;
  EXPECT_THAT(without.err, HasSubstr("a.gguf' will have no tokenizer"));
  EXPECT_THAT(without.err, HasSubstr("--tokenizer FILE"));

  WriteText("v.txt", testing::SmallWorldVocab());
  const auto with = RunTern({"convert", File("words.pth"), File("b.gguf"), "--tokenizer", File("v.txt")});
  EXPECT_EQ(with.code, 0) << with.err;
  EXPECT_THAT(with.err, ::testing::Not(HasSubstr("no tokenizer")));
  EXPECT_THAT(RunTern({"convert", model_, File("c.gguf")}).err, ::testing::Not(HasSubstr("no tokenizer")))
      << "256 symbols are bytes";
}

TEST_F(GgufTokenizer, OfKindGpt2IsReadFromAnyGguf) {
  WriteVocabularyAlone(File("v.gguf"), "gpt2");
  EXPECT_THAT(Output({"tokenize", "--tokenizer", File("v.gguf"), "abcab"}), HasSubstr("259"));
  WriteModelWithVocabulary(File("m.gguf"), "gpt2");
  EXPECT_THAT(Output({"tokenize", "--tokenizer", File("m.gguf"), "abcab"}), HasSubstr("259"));
}

TEST_F(GgufTokenizer, OfKindGpt2IsKeptByConvert) {
  WriteModelWithVocabulary(File("m.gguf"), "gpt2");
  const auto converted = RunTern({"convert", File("m.gguf"), File("n.gguf")});
  EXPECT_EQ(converted.code, 0) << converted.err;
  EXPECT_THAT(converted.err, ::testing::Not(HasSubstr("no tokenizer")));
  EXPECT_EQ(Output({"tokenize", "--tokenizer", File("n.gguf"), "abcab"}),
            Output({"tokenize", "--tokenizer", File("m.gguf"), "abcab"}));
  EXPECT_THAT(Output({"info", File("n.gguf")}), HasSubstr("neox"));
}

TEST_F(GgufTokenizer, OfAnotherKindIsNamed) {
  WriteVocabularyAlone(File("v.gguf"), "bert");
  const auto outcome = RunTern({"tokenize", "--tokenizer", File("v.gguf"), "abc"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("kind 'bert'"));
  WriteVocabularyAlone(File("w.gguf"), "none");
  EXPECT_THAT(RunTern({"tokenize", "--tokenizer", File("w.gguf"), "abc"}).err, HasSubstr("carries no tokenizer"));
}

}  // namespace
}  // namespace tern
