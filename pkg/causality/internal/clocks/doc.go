// Package clocks finds out how far the clocks are off by which a cluster's parts state times.
//
// A kubelet dates what it did by the clock of its node, a controller by that of where it runs,
// and neither need be the API server's. The engine reckons in the time of the API server, as
// it dates creations and deletions for everybody. A right clock states no time that lies after
// the news of it, nor one before what made it possible: a container starts after its pod was
// created. A clock that states such a time is off, and by how much follows from the same
// statement, as news comes shortly after the fact. Of several statements the one that came the
// soonest is the best, as in the filter of NTP (RFC 5905, section 10).
//
// A clock of which nothing contradicts is right: what it states is used as it is.
//
// The package knows no object of Kubernetes. Begin with clock.go.
package clocks
