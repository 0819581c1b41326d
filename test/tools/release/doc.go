// Package release checks what makes a release: goreleaser's configuration and the workflows, by
// the packages of goreleaser and actionlint, and what a snapshot has come to. It is a module of
// its own, as goreleaser needs more than all of rollspan.
package release
