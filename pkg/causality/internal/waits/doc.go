// Package waits puts into words what something that is open waits for at a time: a change, the
// replacement of a lost pod, the restart of a container.
//
// It counts the pods as they were at that time, names the troubles of those that are not Ready,
// the worst first, and says what could not be created. It writes nothing. What it says is on
// spans "in progress", and on roots that are told before they are over.
//
// Begin with ForChange in waiting.go; census.go has how pods are counted.
package waits
