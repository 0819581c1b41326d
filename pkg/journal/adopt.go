package journal

// adopt acknowledges what a Queue has. Its disk may know of spans that the ledger has not
// heard of yet, and of some that the ledger has lost.
func (k *Keeper) adopt() {
	var found []SpanKey
	if k.options.Found != nil {
		found = k.options.Found() // a Queue has its lock held where it calls Settle
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.adopted = true
	if k.handed == nil || len(found) == 0 {
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
	if err := k.flushLedger(true); err != nil {
		k.failLocked(err)
	}
}

// Settle makes what was acknowledged so far survive the machine, and reports whether it does,
// or need not as nothing is kept. It may be called from any goroutine.
func (k *Keeper) Settle() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.handed == nil {
		return k.adopted
	}
	return k.flushLedger(true) == nil && k.adopted
}

// flushLedger writes what was noted of spans; with sync it survives the machine. What it has
// failed with once it fails with again: whose goroutine the Keeper is ends the keeping, as that
// has what was observed under its hands. The caller holds the lock.
func (k *Keeper) flushLedger(sync bool) error {
	if k.unsettled == nil {
		k.unsettled = k.handed.flush(sync)
	}
	return k.unsettled
}
