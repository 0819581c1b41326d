// Package preview builds the traces of changes that are still to be handed out, as they are known
// now: for who looks at what is in progress.
//
// It changes nothing of what is handed out later. Builders write in ledgers what they have handed
// out; here that is a rehearsal, and all ledgers that they can write are as before when it is
// over. What is told beyond the workload, in the traces of others, is left out: links to what
// caused the loss of a pod.
package preview
