package causality

// disruptionLedger is what was handed out of a node's disruption.
type disruptionLedger struct {
	// sent says that the disruption needs no more telling; root is its span, nil if it was
	// passed over.
	sent bool
	root *sentSpan
	// led are the pods that were lost because of the disruption and whose replacements
	// were handed out, or are about to be linked to.
	led consequences
}

// told notes that the disruption was handed out.
func (l *disruptionLedger) told(root *sentSpan) { l.sent, l.root = true, root }

// passOver notes that the disruption is old news, or part of another.
func (l *disruptionLedger) passOver() { l.sent = true }

// lost notes that a pod was lost because of the disruption.
func (l *disruptionLedger) lost(p consequence) { l.led.add(p) }
