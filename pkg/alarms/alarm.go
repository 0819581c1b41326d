// Package alarms finds what somebody is to be told of at once: a node that is not Ready, a pod
// that backs off, a rollout that failed.
//
// A trace tells how something went when it is over, and a metric how often. Neither calls
// anybody. Prometheus does, by the rules in deploy/helm/rollspan/files/alerts.yaml, and it should where
// it is there. This package is for those who have none, as the users of eventarbiter: it calls a
// Sink once when an alarm begins. What an alarm is named and what it is raised by is in one table
// (Names), which the rules and docs/alerts.md are held to.
//
// It reads what the engine reads, after the engine, and what the engine hands out. It holds
// nothing up: a Sink must not wait.
package alarms

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Severity says how soon somebody is to look.
type Severity string

// The severities, as Prometheus' rules call them.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Object is the Kubernetes object that an alarm is about.
type Object struct {
	// Kind and Name are always there, Namespace if the kind has namespaces, and UID
	// where it is known.
	Kind, Namespace, Name, UID string
}

// Alarm is something that somebody is to be told of at once.
type Alarm struct {
	// Name is one of Names, as "RollspanNodeNotReady": also that of the Prometheus rule.
	Name     string
	Severity Severity
	// Object is what the alarm is about: a Node, a Pod, a workload.
	Object Object
	// Workload is what made the object, or the object itself if it is one. It is the zero
	// Object where that is not known, or there is none.
	Workload Object
	// Node is the name of the node that the object is, or is on; empty where that is not
	// known.
	Node string
	// Reason is the reason of the Event, of the condition or of the failure: one word. It may
	// be empty.
	Reason string
	// Message is for people, and says what happened in the words of who reported it. It has no
	// control characters and at most MaxMessage bytes, and may be empty.
	Message string
	// Since is when it began, by the cluster's clock.
	Since time.Time
	// Count is how often the Event happened within Quiet by then; 1 where it is none.
	Count int
	// Resource describes the object by the semantic conventions, as the Resource of spans
	// about it does. It is shared, so nobody writes to it.
	Resource []attribute.KeyValue
	// TraceID and SpanID are those of the change that the alarm belongs to, in the end. They
	// are zero where that is not certain.
	TraceID trace.TraceID
	SpanID  trace.SpanID
}

// MaxMessage is how long the message of an alarm may be, in bytes.
const MaxMessage = 1024

// Sink is told of each alarm when it begins, and not again before what it is for was not so for Quiet.
// It is called from the goroutine that feeds the engine, so it must not wait, and only in the
// process that sends, if there are several. One that has just taken over tells what began in the
// half a minute before, which the one before may have told, too. Alarms that were on when rollspan
// started have begun before.
type Sink interface {
	Begin(Alarm)
}

// Quiet is how long nothing must be heard of an alarm that Events raise until it is over, or less than it takes
// for it to begin. It is also the range that the rules look back over.
const Quiet = 15 * time.Minute
