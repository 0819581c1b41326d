// Package budget keeps traces within what backends take. A rollout of 10,000 pods makes 80,000
// spans: Tempo refuses it, and nobody can look at it.
//
// A Budget is given all that the engine hands out, in that order, and says of each trace what
// of it is sent (spans.Trace.Selection). What it says depends on nothing but that, and on the
// times that it is told. So a Budget that is given the same again, as the replay of a journal
// gives it, says the same. A trace within the budget is not touched.
//
// Of a trace that is over it this is kept, in this order, for as long as there is room:
//
//  1. its root and steps;
//  2. the first and the last failure of each reason;
//  3. the longest spans of the critical path;
//  4. the slowest span of each kind;
//  5. the first and the last pod of each step;
//  6. the next slowest of each kind, and so on.
//
// A pod is kept whole if there is room for that: all spans below the step, or the root. What is
// left out is summed up on its step and on the root (sums.go), and its events and links move to
// the nearest span above that is kept (moved.go). A span is sent only where its parent is.
//
// What comes after a trace was over its budget keeps to it. A root is final when it is sent, so
// what is left out then is summed up on spans of their own (late.go), of which there are few.
//
// Begin with budget.go, then read selection.go.
package budget
