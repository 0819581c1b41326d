// Package stream has what the engine is fed with: the observation of one object at one time.
//
// It is apart from the engine so that those who make observations (the watcher, recordings,
// package snapshots) and those who read them (every package of the engine) agree on it
// without knowing each other. It knows the API's objects, and nothing of rollspan.
package stream
