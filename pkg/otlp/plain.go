package otlp

// NewPlainEncoder returns an Encoder that adds nothing to what spans say: neither options nor
// the environment have a part in it. It is for who keeps spans to read them again (Pack,
// Packed.Decode), and not for who sends them.
func NewPlainEncoder() *Encoder { return &Encoder{spanNames: SpanNamesKind} }
