// A conversation as a tree: editing a message or asking again makes a sibling, and one path through the tree is shown.
// Knows nothing of windows or engines.
// Thread rule: one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lahar/lahar.hpp"

namespace lahar::demo {

struct Alternative {
  int32_t id = -1;
  float logprob = 0;
};

// A generated token with what the engine said of it.
struct TokenInfo {
  int32_t id = -1;
  std::string text;  // whole characters that it completes; may be empty
  float logprob = 0, entropy = 0;
  std::vector<Alternative> alternatives;  // the likeliest first
  bool forced = false;                    // chosen by the user
};

struct Node {
  std::string role, content;
  std::vector<TokenInfo> tokens;  // of a reply
  Node* parent = nullptr;
  std::vector<std::unique_ptr<Node>> children;
  size_t chosen = 0;  // of the children, the one on the path
};

class Conversation {
 public:
  Conversation();

  std::string system_prompt;

  // Messages on the path, the oldest first.
  std::vector<Node*> path() const;
  Node* last() const;
  // Appends behind the path's last message, or behind `parent` as a new branch that the path then takes.
  Node* append(std::string role, std::string content);
  Node* branch(Node* parent, std::string role, std::string content);
  // The parent of the first messages.
  Node* root() const { return root_.get(); }
  // The path takes the sibling `step` further (-1, 1), as far as there is one.
  void turn(Node* node, int step);
  // Takes a message and what follows it away.
  void remove(Node* node);
  void clear();

  // What the model is asked to continue: the system prompt and the path up to `last` (all of it where null).
  std::vector<Message> messages(const Node* last = nullptr) const;

  // The whole tree as JSON and back. from_json leaves *this as it was where it returns false; *error then says why.
  std::string to_json() const;
  bool from_json(std::string_view text, std::string* error);

 private:
  std::unique_ptr<Node> root_;
};

}  // namespace lahar::demo
