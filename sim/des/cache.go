package des

import (
	"slices"

	"github.com/pdautoscaler/pdautoscaler/sim/trace"
)

// prefixIndex is which prefill replica has which prefix blocks. There is one for all of them, so that a prompt's blocks are
// looked up once however many replicas could take it.
type prefixIndex struct {
	blocks map[uint64]*cachedBlock
	looked uint64 // how often matchAll was called
	// Those that are used again.
	spareCopies *blockCopy
	spareBlocks []*cachedBlock
}

// cachedBlock is a block that some replica has. When the last has dropped it, its copies are nil, and it may become another.
type cachedBlock struct {
	id     uint64
	copies *blockCopy
}

// block finds a prompt's i-th block, nil where no replica has it. What was found is remembered with the request: a prompt is
// looked up when it is routed, when it is taken and when it is kept.
func (x *prefixIndex) block(q *request, i int) *cachedBlock {
	for len(q.found) < len(q.blocks) {
		q.found = append(q.found, nil)
	}
	b := q.found[i]
	if b == nil || b.copies == nil || b.id != q.blocks[i] {
		b = x.blocks[q.blocks[i]]
		q.found[i] = b
	}
	return b
}

// blockCopy is a block at one replica.
type blockCopy struct {
	block *cachedBlock
	cache *prefixCache
	// next is the copy at another replica; newer and older are other blocks of this one, by when they were used.
	next, newer, older *blockCopy
}

// prefixCache is the prefix blocks that a prefill replica has, least recently used first out.
type prefixCache struct {
	index          *prefixIndex
	room, held     int // blocks
	newest, oldest *blockCopy
	// matched is how many leading blocks of the last prompt are here, if looked is the index's.
	matched int32
	looked  uint64
}

func newPrefixIndex() *prefixIndex { return &prefixIndex{blocks: map[uint64]*cachedBlock{}} }

func (x *prefixIndex) cache(tokens int64) *prefixCache {
	return &prefixCache{index: x, room: int(tokens / trace.BlockTokens)}
}

// add takes a block in that no replica has had.
func (x *prefixIndex) add(id uint64) *cachedBlock {
	b := &cachedBlock{}
	if n := len(x.spareBlocks); n > 0 {
		b, x.spareBlocks = x.spareBlocks[n-1], x.spareBlocks[:n-1]
	}
	b.id = id
	x.blocks[id] = b
	return b
}

// matchAll works out for every replica how many of a prompt's leading blocks it has.
func (x *prefixIndex) matchAll(q *request) {
	x.looked++
	for i := range q.blocks {
		found := false
		if b := x.block(q, i); b != nil {
			for at := b.copies; at != nil; at = at.next {
				c := at.cache
				if i == 0 {
					c.looked, c.matched = x.looked, 0
				}
				if c.looked == x.looked && c.matched == int32(i) {
					c.matched++
					found = true
				}
			}
		}
		if !found {
			return
		}
	}
}

// lastMatch is how many tokens of the prompt that matchAll was last called with need not be computed here.
func (c *prefixCache) lastMatch(q *request) int32 {
	if len(q.blocks) == 0 {
		return q.cached
	}
	if c.looked != c.index.looked {
		return 0
	}
	return min(c.matched*trace.BlockTokens, q.prompt()-1)
}

// match is how many tokens of a prompt need not be computed: its leading blocks that are here, or what the request itself
// says. One token at least is always computed: its logits give the next.
func (c *prefixCache) match(q *request) int32 {
	if len(q.blocks) == 0 {
		return q.cached
	}
	n := int32(0)
	for i := range q.blocks {
		if b := c.index.block(q, i); b == nil || c.copyOf(b) == nil {
			break
		}
		n += trace.BlockTokens
	}
	return min(n, q.prompt()-1)
}

func (c *prefixCache) copyOf(b *cachedBlock) *blockCopy {
	at := b.copies
	for at != nil && at.cache != c {
		at = at.next
	}
	return at
}

// keep puts a prompt's blocks in, the first one the most recent, so that a prefix outlives what builds on it.
func (c *prefixCache) keep(q *request) {
	for i, id := range slices.Backward(q.blocks) {
		b := c.index.block(q, i)
		if b == nil {
			c.put(c.index.add(id))
			continue
		}
		switch at := c.copyOf(b); {
		case at == nil:
			c.put(b)
		case at != c.newest:
			c.unlink(at)
			c.link(at)
		}
	}
	for c.held > c.room {
		c.drop(c.oldest)
	}
}

// put makes a copy of a block, the newest here.
func (c *prefixCache) put(b *cachedBlock) {
	x := c.index
	at := x.spareCopies
	if at == nil {
		at = &blockCopy{}
	} else {
		x.spareCopies = at.next
	}
	*at = blockCopy{block: b, cache: c, next: b.copies}
	b.copies = at
	c.link(at)
	c.held++
}

// link makes a copy the newest.
func (c *prefixCache) link(at *blockCopy) {
	at.newer, at.older = nil, c.newest
	if c.newest != nil {
		c.newest.newer = at
	} else {
		c.oldest = at
	}
	c.newest = at
}

// unlink takes a copy out of the order.
func (c *prefixCache) unlink(at *blockCopy) {
	if at.newer != nil {
		at.newer.older = at.older
	} else {
		c.newest = at.older
	}
	if at.older != nil {
		at.older.newer = at.newer
	} else {
		c.oldest = at.newer
	}
}

// drop forgets a copy, and a block with its last.
func (c *prefixCache) drop(at *blockCopy) {
	c.unlink(at)
	c.held--
	b := at.block
	place := &b.copies
	for *place != at {
		place = &(*place).next
	}
	*place = at.next
	if b.copies == nil {
		delete(c.index.blocks, b.id)
		c.index.spareBlocks = append(c.index.spareBlocks, b)
	}
	*at = blockCopy{next: c.index.spareCopies}
	c.index.spareCopies = at
}

// forget drops everything: the replica is gone.
func (c *prefixCache) forget() {
	for c.oldest != nil {
		c.drop(c.oldest)
	}
}
