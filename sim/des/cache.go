package des

import (
	"container/list"
	"slices"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// prefixCache is the prefix blocks that a prefill replica has, least recently used first out.
type prefixCache struct {
	room   int // blocks
	blocks map[uint64]*list.Element
	order  list.List // the most recently used first
}

func newPrefixCache(tokens int64) *prefixCache {
	return &prefixCache{room: int(tokens / trace.BlockTokens), blocks: map[uint64]*list.Element{}}
}

// match is how many tokens of a prompt need not be computed: its leading blocks that are here, or what the request itself
// says. One token at least is always computed: its logits give the next.
func (c *prefixCache) match(q *request) int32 {
	if len(q.blocks) == 0 {
		return q.cached
	}
	n := int32(0)
	for _, id := range q.blocks {
		if c.blocks[id] == nil {
			break
		}
		n += trace.BlockTokens
	}
	return min(n, q.prompt()-1)
}

// keep puts a prompt's blocks in, the first one the most recent, so that a prefix outlives what builds on it.
func (c *prefixCache) keep(q *request) {
	for _, id := range slices.Backward(q.blocks) {

		if at := c.blocks[id]; at != nil {
			c.order.MoveToFront(at)
			continue
		}
		c.blocks[id] = c.order.PushFront(id)
	}
	for len(c.blocks) > c.room {
		last := c.order.Back()
		delete(c.blocks, last.Value.(uint64))
		c.order.Remove(last)
	}
}
