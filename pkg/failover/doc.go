// Package failover makes several processes that watch one cluster hand out each span once.
//
// All of them watch and think all the time. One holds a Lease, and hands out. Before it sends
// spans it writes into the Lease which ones they are (Record), and the others never send
// these. Of what they have built and is not recorded they keep all (Outbox), so that whoever
// gets the Lease next goes on with nothing lost. The record and the holder are in one object,
// and each write names the version that it changes: who has lost the Lease cannot record, and
// so does not send.
//
// The record has a watermark, too: all that ended before it was handed out. A process that
// begins with nothing but the lists of what is there knows from it what it is to tell.
//
// What is promised, in seconds, is in docs/reliability.md. Begin with outbox.go.
package failover
