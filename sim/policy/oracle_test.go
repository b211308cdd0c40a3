package policy

import "testing"

func TestBlocksAreForgottenWhenTheCacheIsFull(t *testing.T) {
	b := blocks{room: 4, last: map[uint64]int{}}
	for i, tc := range []struct {
		ids  []uint64
		want int
	}{
		{[]uint64{1, 2}, 0},
		{[]uint64{1, 2, 3}, 2},
		{[]uint64{9, 2}, 0}, // a prefix counts from its start
		{[]uint64{1}, 0},    // five blocks ago
		{[]uint64{1}, 1},
	} {
		if got := b.leading(tc.ids); got != tc.want {
			t.Errorf("%d: %d leading blocks of %v, want %d", i, got, tc.ids, tc.want)
		}
	}
}
