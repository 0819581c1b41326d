// Package journal makes an engine survive the process that it runs in.
//
// The engine is deterministic: the same observations and times give the same spans, byte for
// byte. So what goes into it is written to a journal before it goes in, and a new engine that
// is fed the journal knows what the one before it knew (Keeper). What was handed out is noted
// apart, in a ledger: what comes out of the replay and is in the ledger as acknowledged is
// dropped, and the rest is handed out, with the same bytes.
//
// # On the disk
//
// A directory has two series of segments (series.go), one of what was observed and one of what
// was handed out. They are apart so that no damage to one costs both: without the ledger spans
// are sent again as they were, and without an observation nothing is sent again. A segment is a
// stream of DEFLATE, cut into frames at its flushes; each frame has its length and its CRC32C.
// The first frame that is not whole ends a segment. At the end of the last segment that is a
// torn tail, which is cut off; elsewhere the segment is damaged, and is set aside under a name
// that ends in ".corrupt", while what comes before the damage is used.
//
// Objects are encoded as the API server's protobuf, which is what outlives versions of the
// engine. A segment begins with the version of the format. A program reads what older ones have
// written, and refuses what newer ones have.
//
// # The queue
//
// What is handed out waits for the collector in a Queue, as it was encoded, so that whichever
// version sends it sends the same bytes. It is two series of the same format in a directory of
// its own: what waits, and up to where it is done. A frame of what waits is one record, which is
// read without those before it: a damaged one costs itself only. A file is removed when nothing
// in it waits.
//
// What was observed, the ledger and the queue are kept together by what is synced before what:
//
//  1. What was observed, before what is built of it is handed to the queue.
//  2. What waits, before it is sent, and before the ledger has it as acknowledged (Kept). So
//     what a machine forgets of the queue nobody has got, and a replay builds it again.
//  3. The ledger, before a file of the queue is removed or written anew (Settle). A new process
//     tells its ledger of all spans that the queue's files know, before it replays (Found). So
//     what the ledger forgets the queue knows, and what was in the queue is not built again.
//  4. What is done is written when the collector has answered, and synced within a second. So of
//     a process that dies the next one sends again what had no answer, which is one request; if
//     the machine dies, also what was answered in its last second: in both cases the same bytes.
//
// Past its bound the queue loses the oldest records of the namespace that takes most. That is
// final when their file is written anew; of what had to go before a process dies some may be
// sent all the same.
//
// # How it is bounded
//
// Compaction (compact.go) leaves of what nothing is to be told of any more the newest
// observation of each object that exists, as a list would have it. From time to time the Keeper
// writes a mark, which names all objects of which something is still to be told. What belongs
// together by its owners is a group; a group is cut at the latest mark that does not name it and
// is older than the life of an Event. Nor is it cut behind anything that this process, its replay
// included, has handed out and nobody has acknowledged: the next replay builds that again. So the
// journal is as large as the cluster and an hour and a half of its stream.
//
// This package knows the engine and the span model, and nothing of where objects come from or
// where spans go. Begin with keeper.go, and with queue.go.
package journal
