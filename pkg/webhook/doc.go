// Package webhook tells whoever has a URL that a change is over, or that an alarm has begun, as
// CloudEvents by HTTP. A trace is looked at by somebody who asks; an event calls somebody.
//
// It reads what the engine has handed out, and alarms, and nothing else. It holds nothing up:
// events wait in a bounded queue, and one goroutine sends them. What is lost is counted. What is
// in an event, and what is promised of its delivery, is in docs/webhook.md.
//
// An event is a struct of this package, and not of CloudEvents' SDK for Go: eight fields are
// written and none is read, and the SDK would bring loggers and codecs for that. That the form is
// right is checked in the tests, by the SDK.
//
// Begin with event.go: what is told. filter.go says of what, and sender.go delivers it.
package webhook
