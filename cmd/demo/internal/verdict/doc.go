// Package verdict says how a run of the demo went: whether the objectives and the budget were kept, which moves were made
// and why, and what it cost beside the cheapest fixed replica counts.
//
// It knows what was recorded: the requests as clients saw them, the GPUs as the API server's watch history shows them, and
// the controller's own decision records. It must never know how the run was made.
//
// # When the verdict is good
//
//   - Each act of the story: of the requests that arrived in its judged phase, at least the share that the objective's
//     percentile asks for had a TTFT within the objective, and likewise TPOT. A request that failed misses both. The warm-up
//     phases are played and not judged: in them the traffic changes, and replicas for it are started.
//   - The budget: no event of the watch history, warm-up or not, left more GPUs held than the budget, and the history has no
//     hole.
//   - At least one move of GPUs from one role to the other was completed, if the story asks for one.
//   - Every decision record that the controller served gives the same decision again.
//
// # The fixed replicas to compare with
//
// The pair of counts with the fewest GPUs that would have met the objectives in every act on the very same requests, found by
// playing them through the emulator's engine. It is chosen with full knowledge of the load, which nobody has beforehand.
//
//	judge.go    objectives, act by act
//	fixed.go    the cheapest fixed counts
//	moves.go    moves and changes from decision records
//	summary.go  all of it as plain data: demo/summary.json
//	text.go     the same for people
package verdict
