package des

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// plainCache is the rule as one would say it: a list, the most recent first.
type plainCache struct {
	room int
	ids  []uint64
}

func (c *plainCache) match(q *request) int32 {
	n := int32(0)
	for _, id := range q.blocks {
		if !slices.Contains(c.ids, id) {
			break
		}
		n += trace.BlockTokens
	}
	return min(n, q.prompt()-1)
}

func (c *plainCache) keep(q *request) {
	for _, id := range slices.Backward(q.blocks) {
		if i := slices.Index(c.ids, id); i >= 0 {
			c.ids = slices.Delete(c.ids, i, i+1)
		}
		c.ids = slices.Insert(c.ids, 0, id)
	}
	c.ids = c.ids[:min(len(c.ids), c.room)]
}

// However replicas come, compute and go, each has the blocks that the plain rule gives it, whether it is asked alone or with
// all the others.
func TestTheIndexIsTheRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index := newPrefixIndex()
		var caches []*prefixCache
		var plain []*plainCache
		for range rapid.IntRange(1, 60).Draw(t, "acts") {
			act := rapid.IntRange(0, 9).Draw(t, "act")
			switch {
			case len(caches) == 0 || act == 0:
				room := rapid.IntRange(0, 8).Draw(t, "room")
				caches, plain = append(caches, index.cache(int64(room)*trace.BlockTokens)), append(plain, &plainCache{room: room})
			case act == 1:
				i := rapid.IntRange(0, len(caches)-1).Draw(t, "gone")
				caches[i].forget()
				caches, plain = slices.Delete(caches, i, i+1), slices.Delete(plain, i, i+1)
			default:
				q := &request{input: 1 << 20, blocks: rapid.SliceOfN(rapid.Uint64Range(1, 12), 1, 6).Draw(t, "blocks")}
				index.matchAll(q)
				for i := range caches {
					if want := plain[i].match(q); caches[i].lastMatch(q) != want || caches[i].match(q) != want {
						t.Fatalf("replica %d has %d tokens of %v, asked with all %d; it holds %v", i, caches[i].match(q), q.blocks, caches[i].lastMatch(q), plain[i].ids)
					}
				}
				i := rapid.IntRange(0, len(caches)-1).Draw(t, "computes")
				caches[i].keep(q)
				plain[i].keep(q)
			}
			held := map[uint64]bool{}
			for i := range caches {
				if caches[i].held != len(plain[i].ids) {
					t.Fatalf("replica %d holds %d blocks, want %v", i, caches[i].held, plain[i].ids)
				}
				for _, id := range plain[i].ids {
					held[id] = true
				}
			}
			if len(index.blocks) != len(held) {
				t.Fatalf("the index has %d blocks, replicas have %d", len(index.blocks), len(held))
			}
		}
	})
}
