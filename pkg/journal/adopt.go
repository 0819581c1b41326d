package journal

// adopt acknowledges what a Queue has. Its disk may know of spans that the ledger has not
// heard of yet, and of some that the ledger has lost.
func (k *Keeper) adopt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.adopted = true
	if k.options.Found == nil {
		return
	}
	found := k.options.Found()
	if k.handed == nil {
		return
	}
	var unknown []SpanKey
	for _, key := range found {
		if !k.ledger.isBuilt(key) {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		now := lastTime(k.observed.segments)
		seq := k.handed.append(encodeBuilt(nil, now, unknown))
		k.ledger.built(seq, now, unknown)
	}
	if taken := k.ledger.take(found); len(taken) > 0 {
		k.handed.append(encodeNumbers(recTaken, taken...))
	}
	if err := k.handed.flush(true); err != nil {
		k.failLocked(err)
	}
}

// Settle makes what was acknowledged so far survive the machine, and reports whether it does,
// or need not as nothing is kept.
func (k *Keeper) Settle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil {
		return k.adopted
	}
	if err := k.handed.flush(true); err != nil {
		k.failLocked(err)
	}
	return k.adopted
}
