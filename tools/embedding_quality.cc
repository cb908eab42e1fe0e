// How well vectors of a model tell which sentences mean the same: Spearman's correlation of their cosines
// with the grades of a file of sentence pairs (tests/infer/similarity.tsv), for several ways of making a
// vector and for the words that the sentences share; and how often a sentence is nearer to one that says the same in
// other words than to one that says something else in the same words (tests/infer/adversarial.tsv).
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "infer/embedding.h"
#include "infer/generator.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "tools/content_words.h"

namespace tern {
namespace {

/// Sentences about nothing in particular: their vector is what all vectors have in common.
const char* const kNeutral =
    "There is a house near the road. People come and go every day. Some of them talk about the weather, "
    "others "
    "about their work or what they have seen. In the evening it is quiet, and the lights are on. A man said "
    "that he "
    "would be back soon. Nobody knew how long it would take, but they had time.";

struct Pair {
  double grade;
  std::string a, b;
};

std::vector<Pair> ReadPairs(const std::string& path) {
  std::vector<Pair> pairs;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Pair pair;
    std::string grade;
    if (std::getline(fields, grade, '\t') && std::getline(fields, pair.a, '\t') &&
        std::getline(fields, pair.b, '\t')) {
      pair.grade = std::stod(grade);
      pairs.push_back(pair);
    }
  }
  return pairs;
}

/// A sentence, one of its meaning in other words, and one of its words with another meaning.
struct Triple {
  std::string kind, sentence, same_meaning, same_words;
};

std::vector<Triple> ReadTriples(const std::string& path) {
  std::vector<Triple> triples;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    Triple triple;
    if (std::getline(fields, triple.kind, '\t') && std::getline(fields, triple.sentence, '\t') &&
        std::getline(fields, triple.same_meaning, '\t') && std::getline(fields, triple.same_words, '\t')) {
      triples.push_back(triple);
    }
  }
  return triples;
}

/// Ranks from 1; equals share the mean of theirs.
std::vector<double> Ranks(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (size_t i = begin; i < end; ++i) ranks[order[i]] = static_cast<double>(begin + end + 1) / 2;
    begin = end;
  }
  return ranks;
}

double Spearman(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> a = Ranks(x), b = Ranks(y);
  const double mean = static_cast<double>(a.size() + 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean) * (b[i] - mean);
    aa += (a[i] - mean) * (a[i] - mean);
    bb += (b[i] - mean) * (b[i] - mean);
  }
  return ab / std::sqrt(aa * bb);
}

using Vector = std::vector<double>;

double Cosine(const Vector& a, const Vector& b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
  return ab / std::sqrt(aa * bb);
}

template <typename Range>
Vector MeanOfRows(const Range& rows, size_t width) {
  Vector mean(width, 0.0);
  for (size_t i = 0; i < rows.size(); ++i) mean[i % width] += rows[i];
  for (double& x : mean) x /= static_cast<double>(rows.size()) / static_cast<double>(width);
  return mean;
}

class Measure {
 public:
  Measure(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)) {}

  /// All the ways, by name.
  std::map<std::string, Vector> Vectors(const std::string& text) {
    const auto width = static_cast<size_t>(model_->config().width);
    const std::vector<int32_t> tokens = tokenizer_->Encode(text);
    State state = model_->NewState();
    Read({FirstToken(*tokenizer_)}, &state);
    const std::vector<float> hidden = Read(tokens, &state);
    std::map<std::string, Vector> vectors;
    vectors["mean of hidden vectors"] = MeanOfRows(hidden, width);
    vectors["last hidden vector"] = {hidden.end() - static_cast<std::ptrdiff_t>(width), hidden.end()};
    AddStates(&state, &vectors);
    State empty = model_->NewState();
    vectors["mean of hidden vectors, no token before"] = MeanOfRows(Read(tokens, &empty), width);
    // The second time every token knows the whole sentence.
    Read(tokenizer_->Encode(" "), &state);
    vectors["mean of hidden vectors at the second reading"] = MeanOfRows(Read(tokens, &state), width);
    return vectors;
  }

 private:
  std::vector<float> Read(const std::vector<int32_t>& tokens, State* state) {
    Batch batch;
    batch.Add(tokens, state, Logits::kNone, /*hidden=*/true);
    std::vector<float> logits, hidden;
    const Status status = model_->Forward(batch, workspace_, &logits, &hidden);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
    return hidden;
  }

  void AddStates(State* state, std::map<std::string, Vector>* vectors) const {
    const StateLayout& layout = state->layout();
    Vector &shifts = (*vectors)["shift states of all layers"], &wkv = (*vectors)["wkv states of all layers"],
           &last = (*vectors)["wkv state of the last layer"];
    for (int64_t layer = 0; layer < layout.layers; ++layer) {
      const auto append = [](Vector* to, const float* from, int64_t n) {
        to->insert(to->end(), from, from + n);
      };
      append(&shifts, state->att_shift(layer), layout.width);
      append(&shifts, state->ffn_shift(layer), layout.width);
      append(&wkv, state->wkv(layer), layout.WkvFloats());
      if (layer + 1 == layout.layers) append(&last, state->wkv(layer), layout.WkvFloats());
    }
  }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Workspace workspace_;
};

/// `centre`: subtracted from every vector; may be empty.
double Quality(const std::vector<Pair>& pairs, const std::map<std::string, Vector>& by_text,
               const Vector& centre) {
  std::vector<double> cosines, grades;
  const auto centred = [&](const std::string& text) {
    Vector v = by_text.at(text);
    for (size_t i = 0; i < centre.size(); ++i) v[i] -= centre[i];
    return v;
  };
  for (const Pair& pair : pairs) {
    cosines.push_back(Cosine(centred(pair.a), centred(pair.b)));
    grades.push_back(pair.grade);
  }
  return Spearman(cosines, grades);
}

/// What the shared words alone say.
double QualityOfWords(const std::vector<Pair>& pairs) {
  std::vector<double> overlaps, grades;
  for (const Pair& pair : pairs) {
    overlaps.push_back(WordOverlap(pair.a, pair.b));
    grades.push_back(pair.grade);
  }
  return Spearman(overlaps, grades);
}

/// By way, then by text.
using VectorsOfTexts = std::map<std::string, std::map<std::string, Vector>>;

void AddTexts(Measure* measure, const std::vector<std::string>& texts, VectorsOfTexts* ways) {
  for (const std::string& text : texts) {
    for (auto& [way, vector] : measure->Vectors(text)) (*ways)[way][text] = std::move(vector);
  }
}

/// How many sentences have the one of the same meaning in other words nearer than those of all other triples.
int CountFound(const std::vector<Triple>& triples, const std::map<std::string, Vector>& by_text) {
  int found = 0;
  for (const Triple& triple : triples) {
    const Vector& sentence = by_text.at(triple.sentence);
    const double own = Cosine(sentence, by_text.at(triple.same_meaning));
    found += std::all_of(triples.begin(), triples.end(), [&](const Triple& other) {
      return &other == &triple || Cosine(sentence, by_text.at(other.same_meaning)) < own;
    });
  }
  return found;
}

/// Of each kind, how many of its triples have the sentence of the same meaning nearer; and what CountFound says.
void PrintTriples(Measure* measure, const std::vector<Triple>& triples) {
  std::map<std::string, int> kinds;
  VectorsOfTexts ways;
  for (const Triple& triple : triples) {
    ++kinds[triple.kind];
    AddTexts(measure, {triple.sentence, triple.same_meaning, triple.same_words}, &ways);
  }
  fmt::print("\n{:<48}", "The same meaning is nearer than the same words");
  for (const auto& [kind, count] : kinds) fmt::print(" {:>14}", fmt::format("{} of {}", kind, count));
  fmt::print(" {:>14}\n", fmt::format("found of {}", triples.size()));
  for (const auto& [way, by_text] : ways) {
    std::map<std::string, int> right;
    for (const Triple& t : triples) {
      const Vector& sentence = by_text.at(t.sentence);
      right[t.kind] += Cosine(sentence, by_text.at(t.same_meaning)) > Cosine(sentence, by_text.at(t.same_words));
    }
    fmt::print("{:<48}", way);
    for (const auto& [kind, count] : right) fmt::print(" {:>14}", count);
    fmt::print(" {:>14}\n", CountFound(triples, by_text));
  }
}

int Fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.message().c_str());
  return 1;
}

int Run(const std::string& model_path, const std::string& pairs_path, const std::string& triples_path) {
  auto model = Model::Load(model_path);
  if (!model.ok()) return Fail(model.status());
  const std::vector<std::string>& vocabulary = (*model)->checkpoint().vocabulary();
  auto tokenizer = vocabulary.empty() ? FindTokenizer(model_path, (*model)->config().vocab)
                                      : MakeWorldTokenizer(vocabulary);
  if (!tokenizer.ok()) return Fail(tokenizer.status());
  const std::vector<Pair> pairs = ReadPairs(pairs_path);
  if (pairs.empty()) return Fail(NotFound("no sentence pairs in '" + pairs_path + "'"));
  const std::vector<Triple> triples = ReadTriples(triples_path);
  if (triples.empty()) return Fail(NotFound("no sentences in '" + triples_path + "'"));
  Measure measure(*model, *tokenizer);
  VectorsOfTexts ways;
  for (const Pair& pair : pairs) AddTexts(&measure, {pair.a, pair.b}, &ways);
  const auto neutral = measure.Vectors(kNeutral);
  fmt::print("{:<48} {:>8} {:>8}\n", "Spearman's correlation", "as is", "centred");
  fmt::print("{:<48} {:>8.3f}\n", "no model: share of common content words", QualityOfWords(pairs));
  for (const auto& [way, by_text] : ways) {
    fmt::print("{:<48} {:>8.3f} {:>8.3f}\n", way, Quality(pairs, by_text, {}),
               Quality(pairs, by_text, neutral.at(way)));
  }
  PrintTriples(&measure, triples);
  return 0;
}

}  // namespace
}  // namespace tern

int main(int argc, char** argv) {
  CLI::App app("How well a model's vectors tell which sentences mean the same");
  std::string model, pairs = "tests/infer/similarity.tsv", triples = "tests/infer/adversarial.tsv";
  app.add_option("model", model, "A model file")->required();
  app.add_option("--pairs", pairs, "Lines of grade, sentence, sentence, separated by tabs");
  app.add_option("--triples", triples,
                 "Lines of kind, sentence, the same meaning in other words, another meaning in the same words");
  CLI11_PARSE(app, argc, argv);
  return tern::Run(model, pairs, triples);
}
