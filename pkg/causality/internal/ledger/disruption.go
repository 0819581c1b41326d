package ledger

// Disruption is what was handed out of a node's disruption.
type Disruption struct {
	// Sent says that the disruption was handed out, or is not to be. Root is its span, nil
	// if it is not to be.
	Sent bool
	Root *SentSpan
	// Consequences are the pods that were lost because of the disruption and whose replacements
	// were handed out, or are about to be linked to.
	Consequences Consequences
}

// Emit notes that the disruption was handed out.
func (l *Disruption) Emit(root *SentSpan) { l.Sent, l.Root = true, root }

// PassOver notes that the disruption is old news, or part of another.
func (l *Disruption) PassOver() { l.Sent = true }

// AddConsequence notes that a pod was lost because of the disruption.
func (l *Disruption) AddConsequence(c Consequence) { l.Consequences.add(c) }
