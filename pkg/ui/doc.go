// Package ui serves the embedded page: what has changed in the cluster, what of it is in
// progress, why a change was slow, and what happened at the same time.
//
// Begin reading in server.go, which has the addresses; guard.go says who may ask. What a page
// says is worked out in Go (list.go, change.go, waterfall.go, overview.go) into values that both
// the server's HTML (list_html.go and so on, of what markup.go has) and the script show, so that the
// page can be read without the script.
//
// Whoever may create an object has a say in what is shown. So all that comes from a cluster is
// made visible (package terminal), escaped by gomponents, or put into the page as text by the
// script; and a strict Content-Security-Policy is there for the day on which that is forgotten.
package ui
