// Package harness builds and runs the real rollspan program, for the end-to-end
// tests and the demonstration.
package harness
