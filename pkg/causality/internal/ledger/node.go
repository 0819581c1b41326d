package ledger

// DisruptionLedger is what was handed out of a node's disruption.
type DisruptionLedger struct {
	// sent says that the disruption needs no more telling; root is its span, nil if it was
	// passed over.
	Sent bool
	Root *SentSpan
	// led are the pods that were lost because of the disruption and whose replacements
	// were handed out, or are about to be linked to.
	Led Consequences
}

// Emit notes that the disruption was handed out.
func (l *DisruptionLedger) Emit(root *SentSpan) { l.Sent, l.Root = true, root }

// PassOver notes that the disruption is old news, or part of another.
func (l *DisruptionLedger) PassOver() { l.Sent = true }

// Lost notes that a pod was lost because of the disruption.
func (l *DisruptionLedger) Lost(p Consequence) { l.Led.add(p) }
