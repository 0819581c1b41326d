package causality

import "github.com/rollspan/rollspan/pkg/causality/stream"

// Observation is what the engine is fed with: an object's state at a time.
type Observation = stream.Observation
