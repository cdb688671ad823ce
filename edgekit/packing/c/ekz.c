/* ekz: see ekz.h. The same arithmetic as edgekit/packing/, file by file; docs/packing.md describes the format. */
#include "ekz.h"

#include <string.h>

/* What a packer never exceeds: see text.py, channel.py and archive.py. */
#define MOST_TEXT (1u << 16)
#define MOST_DECISIONS (1u << 22)
#define RATIO 1024u
#define ALWAYS (1u << 16)

/* ------------------------------------------------------------------ probabilities: logistic.py */

#define LIMIT 3071

static const uint16_t ANCHORS[49] = {
    1,     1,     1,     2,     3,     5,     8,     13,    22,    36,    60,    98,    162,   267,   439,   720,   1179,
    1921,  3108,  4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816,
    65097, 65269, 65374, 65438, 65476, 65500, 65514, 65523, 65528, 65531, 65533, 65534, 65535, 65535, 65535};

static int32_t squash(int64_t x) {
    int32_t at, place, rest, p;
    if (x > LIMIT) x = LIMIT;
    if (x < -LIMIT) x = -LIMIT;
    at = (int32_t)x + 3072;
    place = at >> 7;
    rest = at & 127;
    p = ((int32_t)ANCHORS[place] * (128 - rest) + (int32_t)ANCHORS[place + 1] * rest + 64) >> 7;
    return p < 1 ? 1 : p > 65535 ? 65535 : p;
}

static uint32_t root(uint64_t n) { /* whole square root of at most 576 */
    uint32_t r = 0;
    while ((uint64_t)(r + 1) * (r + 1) <= n) r++;
    return r;
}

static int64_t shifted(int64_t x, int by) { /* rounds down, whatever the compiler does with negative numbers */
    return x < 0 ? ~(~x >> by) : x >> by;
}

/* ------------------------------------------------------------------ the state of one archive */

typedef struct {
    uint8_t *at;
    size_t left;
} arena_t;

typedef struct {
    uint32_t *slots;
    int64_t *weights;
    int looks, direct;
    int32_t rate;
    uint32_t limit;
} mixer_t;

typedef struct { /* of archives of several files: a section; see table.py */
    uint64_t start, size;
    uint64_t source; /* of a product, where its numbers stand; of a likeness, how far back its scales; of a part, its sections */
    uint32_t method;
    uint32_t factor; /* of a product; of a part, the number of the section that began the part before */
    uint32_t part;   /* the number of the section that began its part */
    uint32_t spare;
} section_t;

typedef struct {
    const uint8_t *bits; /* modelled bits, and where they are read */
    size_t bits_size, bits_at;
    uint32_t low, high, value;
    const uint8_t *raw;
    size_t raw_size, raw_at;
    uint8_t *out;
    size_t out_size, out_at;
    arena_t arena;
    int16_t stretch[4096];
    /* the text model */
    mixer_t text;
    uint8_t *window;
    uint32_t *heads;
    uint32_t table_bits, at, follow, agreed, coded, came_true;
    uint32_t decisions;
    /* archives of several files */
    int several;
    section_t *sections;
    uint32_t count, first, second; /* sections, and which of them begin the first two parts */
    uint32_t *changed, changed_of; /* numbers and what became of them, and in which part */
    mixer_t residuals;
    uint32_t last_size, size_before;
    int error;
} ekz_t;

static void fail(ekz_t *z, int error) {
    if (!z->error) z->error = error;
}

static void *take(ekz_t *z, size_t count, size_t size) {
    size_t skip = (size_t)(-(uintptr_t)z->arena.at) & 7u;
    void *found;
    if (z->arena.left < skip || (z->arena.left - skip) / size < count) {
        fail(z, EKZ_NO_ROOM);
        return NULL;
    }
    found = z->arena.at + skip;
    z->arena.at += skip + count * size;
    z->arena.left -= skip + count * size;
    return found;
}

/* ------------------------------------------------------------------ bits: coder.py */

static int decode(ekz_t *z, int32_t p) {
    uint32_t middle = z->low + (uint32_t)(((uint64_t)(z->high - z->low) * (uint32_t)p) >> 16);
    int bit = z->value <= middle;
    if (bit)
        z->high = middle;
    else
        z->low = middle + 1;
    while (!((z->low ^ z->high) & 0xFF000000u)) {
        z->low <<= 8;
        z->high = z->high << 8 | 255u;
        z->value = z->value << 8 | (z->bits_at < z->bits_size ? z->bits[z->bits_at] : 0u);
        z->bits_at++;
    }
    return bit;
}

/* ------------------------------------------------------------------ mixing: mixing.py */

#define MOST_INPUTS 10

static int mixer(ekz_t *z, mixer_t *m, size_t slots, int looks, int direct, int sets, int64_t start, int32_t rate,
                 uint32_t limit) {
    size_t i;
    int set, k, inputs = looks + direct + 1;
    m->slots = (uint32_t *)take(z, slots, sizeof(uint32_t));
    m->weights = (int64_t *)take(z, (size_t)(sets * inputs), sizeof(int64_t));
    if (!m->slots || !m->weights) return 0;
    m->looks = looks;
    m->direct = direct;
    m->rate = rate;
    m->limit = limit;
    for (i = 0; i < slots; i++) m->slots[i] = 1u << 31;
    for (set = 0; set < sets; set++)
        for (k = 0; k < inputs; k++) m->weights[set * inputs + k] = k < looks ? start : 0;
    return 1;
}

static int mixed(ekz_t *z, mixer_t *m, const uint32_t *places, int chosen, const int32_t *direct) {
    int inputs = m->looks + m->direct + 1, i, bit;
    int64_t *weights = m->weights + chosen * inputs, total = 0, error;
    int32_t logits[MOST_INPUTS], p;
    for (i = 0; i < m->looks; i++) logits[i] = z->stretch[m->slots[places[i]] >> 20];
    for (i = 0; i < m->direct; i++) logits[m->looks + i] = direct[i];
    logits[inputs - 1] = 256;
    for (i = 0; i < inputs; i++) total += weights[i] * logits[i];
    p = squash(shifted(total, 16));
    bit = decode(z, p);
    error = (int64_t)((bit ? 65536 : 0) - p) * m->rate;
    for (i = 0; i < inputs; i++) weights[i] += shifted(logits[i] * error + 524288, 20);
    for (i = 0; i < m->looks; i++) {
        uint32_t state = m->slots[places[i]], count = state & 1023u;
        uint64_t q = state >> 10, rate = 131072u / (2u * count + 3u);
        if (bit)
            q += ((4194304u - q) * rate) >> 16;
        else
            q -= (q * rate) >> 16;
        m->slots[places[i]] = (uint32_t)q << 10 | (count < m->limit ? count + 1 : count);
    }
    return bit;
}

/* ------------------------------------------------------------------ text: text.py */

#define CONTEXTS 7
#define WINDOW (1u << 16)
#define HEADS (1u << 14)
#define MATCH 5u
#define LONGEST_MATCH 31u

static uint8_t back(const ekz_t *z, uint32_t distance) { return z->window[(z->at - distance) & (WINDOW - 1)]; }

static void learn(ekz_t *z, uint8_t byte) {
    int kept = z->agreed && z->window[z->follow] == byte;
    uint32_t key = 0, distance, there, length = 0;
    z->window[z->at & (WINDOW - 1)] = byte;
    z->at++;
    if (kept) {
        if (z->agreed < LONGEST_MATCH) z->agreed++;
        z->follow = (z->follow + 1) & (WINDOW - 1);
    } else {
        z->agreed = 0;
    }
    if (z->at < MATCH) return;
    for (distance = MATCH; distance > 0; distance--) key = key * 0x2Fu + back(z, distance) + 1u;
    key = (key * 0x9E3779B1u) >> 18;
    if (!z->agreed) {
        there = z->heads[key];
        while (there && length < LONGEST_MATCH && length < there) {
            if (z->window[(there - 1 - length) & (WINDOW - 1)] != back(z, 1 + length)) break;
            length++;
        }
        if (length >= MATCH) {
            z->agreed = length;
            z->follow = there & (WINDOW - 1);
        }
    }
    z->heads[key] = z->at;
}

/* `told` is the byte that is expected, -1 for none */
static uint8_t told_byte(ekz_t *z, int told) {
    uint32_t contexts[CONTEXTS], places[CONTEXTS + 2], bases[CONTEXTS];
    uint32_t b1 = back(z, 1), b2 = back(z, 2), b3 = back(z, 3), b4 = back(z, 4), b8 = back(z, 8), place = z->at & 3u;
    uint32_t node = 1, half, i, matched = 256u + (CONTEXTS << z->table_bits), first = matched + 1u + 2u * z->agreed;
    int k, expected = told >= 0 ? told : z->agreed ? z->window[z->follow] : -1, sure = z->agreed >= 16u ? 2 : 1;
    if (z->error || ++z->coded > MOST_TEXT) {
        fail(z, EKZ_DAMAGED);
        return 0;
    }
    if (told >= 0) {
        first = matched + 65u + 2u * z->came_true;
        sure = z->came_true >= 16u ? 4 : 3;
    }
    contexts[0] = b1;
    contexts[1] = b1 | b2 << 8;
    contexts[2] = contexts[1] | b3 << 16;
    contexts[3] = contexts[2] | b4 << 24;
    contexts[4] = place << 8 | b4;
    contexts[5] = place << 16 | b8 << 8 | b4;
    contexts[6] = place << 16 | b1 << 8 | b4;
    for (half = 0; half < 2; half++) {
        uint32_t salt = half ? node * 0x85EBCA6Bu : 0, sub = 1;
        for (i = 0; i < CONTEXTS; i++) {
            uint32_t x = (2u * contexts[i] + half) * 0x9E3779B1u + i * 0x3C6EF372u + salt;
            x = (x ^ x >> 15) * 0x2C1B3C6Du;
            bases[i] = 256u + (i << z->table_bits) + (x >> (32u - z->table_bits) & ((1u << z->table_bits) - 16u));
        }
        for (k = 0; k < 4; k++) {
            int shift = 7 - 4 * (int)half - k, fits = expected >= 0 && (uint32_t)(expected | 256) >> (shift + 1) == node, bit;
            places[0] = node;
            for (i = 0; i < CONTEXTS; i++) places[1 + i] = bases[i] + sub;
            places[CONTEXTS + 1] = fits ? first + ((uint32_t)expected >> shift & 1u) : matched;
            bit = mixed(z, &z->text, places, (fits ? 4 * sure : 0) + (int)place, NULL);
            node = 2u * node + (uint32_t)bit;
            sub = 2u * sub + (uint32_t)bit;
        }
    }
    if (told >= 0) {
        if ((node & 255u) != (uint32_t)told)
            z->came_true >>= 2;
        else if (z->came_true < LONGEST_MATCH)
            z->came_true++;
    }
    learn(z, (uint8_t)node);
    return (uint8_t)node;
}

static uint8_t text_byte(ekz_t *z) { return told_byte(z, -1); }

static void ended(ekz_t *z) { /* more than the four bytes that a sound end may be short of */
    if (z->bits_at > z->bits_size && z->bits_at - z->bits_size > 4) fail(z, EKZ_DAMAGED);
}

static uint64_t told_number(ekz_t *z, int64_t told) {
    uint64_t value = 0;
    int shift;
    for (shift = 0; shift <= 35; shift += 7) {
        uint64_t rest = told < 0 ? 0 : (uint64_t)told >> shift;
        uint8_t byte = told_byte(z, told < 0 ? -1 : (int)((rest & 127u) | (rest > 127u ? 128u : 0u)));
        if (shift == 35) break;
        value |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) return z->error ? 0 : value;
    }
    fail(z, EKZ_DAMAGED);
    return 0;
}

static uint64_t number(ekz_t *z) { return told_number(z, -1); }

static size_t told_below(ekz_t *z, uint64_t limit, int64_t told) {
    uint64_t value = told_number(z, told);
    if (value >= limit) {
        fail(z, EKZ_DAMAGED);
        return 0;
    }
    return (size_t)value;
}

static size_t below(ekz_t *z, uint64_t limit) { return told_below(z, limit, -1); }

static uint32_t little(const uint8_t *bytes) {
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* ------------------------------------------------------------------ sections that answer to each other: table.py */

enum { END, SYMBOLS, PLANES, HUFFMAN, STORED, SPARSE, PRODUCT, CUT, PART, TEXT, LIKE };

#define NONE 0xFFFFFFFFu

static int64_t end_of(const ekz_t *z, uint32_t index) { return (int64_t)(z->sections[index].start + z->sections[index].size); }

static int64_t next_start(const ekz_t *z, uint32_t index) { /* the first byte behind the text behind a section */
    return index + 1 < z->count ? (int64_t)z->sections[index + 1].start : (int64_t)z->out_size;
}

static uint32_t counterpart(const ekz_t *z, uint32_t index) {
    uint32_t part = z->sections[index].part;
    if (part == NONE || part == z->first || z->sections[part].source != z->sections[z->first].source) return NONE;
    return z->first + (index - part);
}

static int64_t shift_of(const ekz_t *z, uint32_t mine, uint32_t theirs) {
    int64_t here = end_of(z, mine), there = end_of(z, theirs), here_end = next_start(z, mine), there_end = next_start(z, theirs);
    if (z->sections[theirs + 1].method == PART || here_end - here == there_end - there) return here - there;
    return here_end - there_end;
}

static int moved(const ekz_t *z, int64_t place, uint32_t part, int64_t *found) {
    uint32_t low = z->first, high = z->second, middle;
    if (place < (int64_t)z->sections[low].start || place >= (int64_t)z->sections[high].start) return 0;
    while (high - low > 1) { /* the last section that begins at the place or before */
        middle = low + (high - low) / 2;
        if ((int64_t)z->sections[middle].start <= place)
            low = middle;
        else
            high = middle;
    }
    part += low - z->first;
    if (place < end_of(z, low))
        *found = (int64_t)z->sections[part].start + place - (int64_t)z->sections[low].start;
    else
        *found = place + shift_of(z, part, low);
    return 1;
}

/* ------------------------------------------------------------------ what is expected: along.py */

#define LEAST_CHANGED 2u
#define MOST_CHANGED 4096u
#define SOUGHT 65536

typedef struct {
    int64_t away, low, high, start;
    int64_t counted, mine, theirs; /* where a number counts the elements of an array, and how many bytes the arrays have */
    uint32_t word, part;
    int any, have;
} told_t;

static void tell(ekz_t *z, told_t *t, uint32_t index, int within) { /* of a section, or of the text before it */
    uint32_t mine = within ? index : index - 1, theirs, k;
    memset(t, 0, sizeof *t);
    if ((!within && !index) || (theirs = counterpart(z, mine)) == NONE) return;
    t->any = 1;
    t->part = z->sections[mine].part;
    t->start = (int64_t)z->out_at;
    t->counted = -1;
    if (t->part != z->changed_of) {
        z->changed_of = t->part;
        for (k = 0; k < MOST_CHANGED; k++) z->changed[k] = k;
    }
    if (within) {
        t->away = (int64_t)(z->sections[theirs].start - z->sections[mine].start);
        t->low = (int64_t)z->sections[theirs].start;
        t->high = end_of(z, theirs);
        return;
    }
    t->away = -shift_of(z, mine, theirs);
    t->low = end_of(z, theirs);
    t->high = next_start(z, theirs);
    if (index < z->count && z->sections[index].method != PART && z->sections[theirs + 1].method != PART &&
        z->sections[index].start >= 4) {
        t->counted = (int64_t)z->sections[index].start - 4;
        t->mine = (int64_t)z->sections[index].size;
        t->theirs = (int64_t)z->sections[theirs + 1].size;
    }
}

static uint32_t told_word(const ekz_t *z, const told_t *t, int64_t here, int64_t there) {
    uint32_t value = little(z->out + there);
    int64_t target;
    int width;
    if (here == t->counted)
        for (width = 1; width <= 8; width *= 2)
            if ((int64_t)value * width == t->theirs) return (uint32_t)(t->mine / width);
    if (value && value < 0x80000000u && moved(z, there + value, t->part, &target) && target - here != (int64_t)value)
        return (uint32_t)(uint64_t)(target - here);
    return value < MOST_CHANGED ? z->changed[value] : value;
}

static int told_next(ekz_t *z, told_t *t) {
    int64_t at = (int64_t)z->out_at, there = at + t->away;
    int place = (int)(at & 3);
    uint32_t before;
    if (!t->any || there < t->low || there >= t->high) return -1;
    if ((t->away & 3) || there - place < 0 || there - place + 4 > (int64_t)z->sections[z->second].start) return z->out[there];
    if (!place && at - 4 >= t->start && there - 4 >= t->low) {
        before = little(z->out + there - 4);
        if (before >= LEAST_CHANGED && before < MOST_CHANGED) z->changed[before] = little(z->out + at - 4);
    }
    if (!place || !t->have) t->word = told_word(z, t, at - place, there - place);
    t->have = 1;
    return (int)(t->word >> (8 * place) & 255u);
}

static int told_factor(const ekz_t *z, uint32_t index, uint32_t theirs, uint32_t *found) {
    int64_t first = (int64_t)z->sections[z->first].start, end = (int64_t)z->sections[z->second].start, at, place;
    if (end > first + SOUGHT) end = first + SOUGHT;
    for (at = first; at + 4 <= end; at += 4) {
        if (little(z->out + at) != theirs) continue;
        if (!moved(z, at, z->sections[index].part, &place) || place < 0 || place + 4 > (int64_t)z->sections[index].start) return 0;
        *found = little(z->out + place);
        return 1;
    }
    return 0;
}

static int64_t told_start(const ekz_t *z, uint32_t index) {
    uint32_t theirs = z->several ? counterpart(z, index) : NONE;
    return theirs == NONE ? -1 : (int64_t)z->sections[theirs].start;
}

/* ------------------------------------------------------------------ where elements go: elements.py */

typedef struct {
    uint8_t *out;
    size_t count, at;    /* elements, and the next of them */
    size_t stride;       /* bytes between elements of a byte or more */
    uint32_t bits;       /* of an element; 1 for a mask */
    const uint8_t *mask; /* NULL, or a bit for each place: elements go where it is set */
    size_t place, places;
} sink_t;

static void put(ekz_t *z, sink_t *s, uint64_t value) {
    size_t i = s->at;
    uint32_t k;
    if (z->error) return;
    if (s->at >= s->count) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    s->at++;
    if (s->mask) {
        while (s->place < s->places && !(s->mask[s->place >> 3] >> (s->place & 7) & 1)) s->place++;
        if (s->place >= s->places) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        i = s->place++;
    }
    if (s->bits >= 8) {
        for (k = 0; k < s->bits / 8; k++) s->out[i * s->stride + k] = (uint8_t)(value >> (8 * k));
    } else {
        size_t bit = i * s->bits;
        uint8_t *byte = s->out + (bit >> 3);
        uint32_t shift = (uint32_t)(bit & 7);
        *byte = (uint8_t)((*byte & ~(((1u << s->bits) - 1u) << shift)) | (uint32_t)value << shift);
    }
}

/* ------------------------------------------------------------------ codebooks: sections.py */

typedef struct {
    uint64_t values[256];
    uint32_t size;
} book_t;

static void codebook(ekz_t *z, book_t *book, uint32_t bits) {
    uint32_t i, k, sum = 0;
    uint32_t wide = bits == 1 ? 8 : bits; /* a mask is written as bytes of 0 and 1 */
    book->size = 1u + (uint32_t)below(z, 256);
    for (i = 0; i < book->size; i++) {
        book->values[i] = 0;
        if (wide > 8) {
            for (k = 0; k < wide / 8; k++) book->values[i] |= (uint64_t)text_byte(z) << (8 * k);
        } else {
            sum += text_byte(z) + (i ? 1u : 0u);
            if (sum >> wide) fail(z, EKZ_DAMAGED);
            book->values[i] = (sum ^ 1u << (wide - 1)) & 255u;
            if (bits == 1 && book->values[i] > 1) book->values[i] = 1;
        }
    }
    ended(z);
}

static void put_symbol(ekz_t *z, sink_t *s, const book_t *book, uint32_t symbol) {
    if (symbol >= book->size)
        fail(z, EKZ_DAMAGED);
    else
        put(z, s, book->values[symbol]);
}

/* ------------------------------------------------------------------ matrices: symbols.py */

#define DENSITIES 25u
#define SHARES 17u
#define VALUES 18u

typedef struct {
    mixer_t flags, values;
    uint32_t *counts, *near, *wide, *three, *five;
    uint8_t *before, *lowest, *groups;
    size_t columns, period;
    uint32_t symbols, common, bits, group;
} matrix_t;

static uint32_t beside(const uint32_t *numbers, size_t columns, size_t at, size_t by, int right) {
    /* the number `by` columns to the left or right of `at`, 0 outside */
    if (right) return by < columns - at ? numbers[at + by] : 0;
    return by <= at ? numbers[at - by] : 0;
}

static void sums(matrix_t *m) {
    size_t c, n = m->columns, p = m->period;
    for (c = 0; c < n; c++) {
        m->three[c] = m->counts[c] + beside(m->counts, n, c, 1, 0) + beside(m->counts, n, c, 1, 1);
        m->five[c] = m->three[c] + beside(m->counts, n, c, 2, 0) + beside(m->counts, n, c, 2, 1);
    }
    for (c = 0; c < n; c++) {
        m->near[c] = m->three[c] + beside(m->three, n, c, p, 0) + beside(m->three, n, c, p, 1);
        m->wide[c] = m->five[c] + beside(m->five, n, c, p, 0) + beside(m->five, n, c, p, 1) +
                     beside(m->five, n, c, 2 * p, 0) + beside(m->five, n, c, 2 * p, 1);
    }
}

static int32_t logit(const ekz_t *z, uint64_t part, uint64_t whole) {
    uint64_t share = part / whole;
    return z->stretch[share < 4095 ? share : 4095];
}

static uint32_t other(ekz_t *z, matrix_t *m, const uint32_t *contexts, uint32_t density, int around) {
    uint32_t base = 1u << m->bits, table = base * VALUES, node = 1, places[6];
    int place;
    for (place = (int)m->bits - 1; place >= 0; place--) {
        uint32_t at = base + node * VALUES;
        places[0] = node;
        places[1] = at + contexts[0];
        places[2] = at + table + contexts[1];
        places[3] = at + 2 * table + contexts[2];
        places[4] = at + 3 * table + contexts[3];
        places[5] = base + 4 * table + node * DENSITIES + density;
        node = 2 * node + (uint32_t)mixed(z, &m->values, places, 4 * place + around, NULL);
    }
    return node - base;
}

static void row(ekz_t *z, matrix_t *m, sink_t *s, const book_t *book, size_t width, uint64_t seen) {
    uint32_t spread = 1u + (uint32_t)m->columns, beyond = spread + 2048u, own = beyond + DENSITIES * SHARES;
    uint32_t others = 0, last = 0, history = 0;
    size_t c;
    sums(m);
    m->flags.slots[own] = 1u << 31;
    memset(m->groups, 0, m->period + 1 + m->columns);
    for (c = 0; c < width && !z->error; c++) {
        uint32_t above = m->groups[c + 1], left = m->groups[c + m->period], contexts[4], places[5], flag, value;
        uint32_t around = (left > 0) + 2u * (above > 0) + 4u * (m->period > 1 && m->groups[c + 2] > 0) + 8u * (m->groups[c] > 0);
        uint64_t close = (2u * (uint64_t)m->near[c] + 1u) * 64u / seen, share = (2u * (uint64_t)others + 1u) * 256u / (c + 1);
        uint32_t density = root(close < 576 ? close : 576);
        int32_t direct[4];
        places[0] = 0;
        places[1] = 1u + (uint32_t)c;
        places[2] = spread + (m->before[c] * 16u + around) * 16u + history;
        places[3] = beyond + density * SHARES + root(share < 256 ? share : 256);
        places[4] = own;
        direct[0] = logit(z, (2u * (uint64_t)m->counts[c] + 1u) * 2048u, seen);
        direct[1] = logit(z, (2u * (uint64_t)m->near[c] + 1u) * 2048u, 9u * seen);
        direct[2] = logit(z, (2u * (uint64_t)m->wide[c] + 1u) * 2048u, 25u * seen);
        direct[3] = logit(z, (2u * (uint64_t)others + 3u) * 2048u, c + 25u);
        flag = (uint32_t)mixed(z, &m->flags, places, (int)around, direct);
        history = (history << 1 | flag) & 15u;
        m->before[c] = (uint8_t)((m->before[c] << 1 | flag) & 7u);
        if (!flag) {
            put_symbol(z, s, book, m->common);
            continue;
        }
        others++;
        m->counts[c]++;
        contexts[0] = last;
        contexts[1] = m->lowest[c];
        contexts[2] = left;
        contexts[3] = above;
        value = other(z, m, contexts, density, (int)(around & 3u));
        last = 1u + (value >> m->group);
        m->lowest[c] = m->groups[c + m->period + 1] = (uint8_t)last;
        put_symbol(z, s, book, value + (value >= m->common));
    }
}

static void symbols(ekz_t *z, sink_t *s) {
    book_t book;
    matrix_t m;
    size_t i, start, nodes, most = s->count ? s->count : 1;
    uint64_t seen = 1;
    codebook(z, &book, s->bits);
    m.columns = 1 + below(z, most);
    m.period = 1 + below(z, most);
    m.symbols = book.size;
    m.common = (uint32_t)below(z, book.size);
    if (m.period > m.columns) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    if (m.symbols < 2) {
        for (i = 0; i < s->count && !z->error; i++) put(z, s, book.values[0]);
        return;
    }
    for (m.bits = 1; (m.symbols - 2) >> m.bits; m.bits++) {
    }
    m.group = m.bits > 4 ? m.bits - 4 : 0;
    if (s->count > (MOST_DECISIONS - z->decisions) / (1 + m.bits)) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    z->decisions += (uint32_t)s->count * (1 + m.bits);
    nodes = (size_t)1 << m.bits;
    if (!mixer(z, &m.flags, m.columns + 2475, 5, 4, 16, 13107, 4, 1000)) return;
    if (!mixer(z, &m.values, nodes * (1 + 4 * VALUES + DENSITIES), 6, 0, 4 * (int)m.bits, 10922, 100, 1000)) return;
    m.counts = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.near = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.wide = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.three = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.five = (uint32_t *)take(z, m.columns, sizeof(uint32_t));
    m.before = (uint8_t *)take(z, m.columns, 1);
    m.lowest = (uint8_t *)take(z, m.columns, 1);
    m.groups = (uint8_t *)take(z, m.columns + m.period + 1, 1);
    if (z->error) return;
    memset(m.counts, 0, m.columns * sizeof(uint32_t));
    memset(m.before, 0, m.columns);
    memset(m.lowest, 0, m.columns);
    for (start = 0; start < s->count && !z->error; start += m.columns) {
        row(z, &m, s, &book, s->count - start < m.columns ? s->count - start : m.columns, seen++);
        ended(z);
    }
}

/* ------------------------------------------------------------------ Huffman codes: huffman.py */

#define LONGEST_CODE 15u

typedef struct {
    const uint8_t *data;
    size_t size, at; /* bits */
    uint16_t count[LONGEST_CODE + 1];
    uint8_t sorted[256]; /* symbols in order of their codes */
} code_t;

static void code_of(ekz_t *z, code_t *code, uint32_t alphabet, size_t count) {
    uint8_t lengths[256];
    uint32_t i, length, used = 0, space = 0;
    size_t lane = (count + 255) / 256, lanes, bytes;
    for (i = 0; i < alphabet; i++) lengths[i] = text_byte(z);
    ended(z);
    memset(code->count, 0, sizeof(code->count));
    for (i = 0; i < alphabet; i++) {
        if (lengths[i] > LONGEST_CODE) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        if (lengths[i]) {
            code->count[lengths[i]]++;
            space += (1u << LONGEST_CODE) >> lengths[i];
        }
    }
    if (count && (!space || space > 1u << LONGEST_CODE)) fail(z, EKZ_DAMAGED);
    for (length = 1; length <= LONGEST_CODE; length++)
        for (i = 0; i < alphabet; i++)
            if (lengths[i] == length) code->sorted[used++] = (uint8_t)i;
    if (lane < 4096) lane = 4096;
    for (lanes = count ? (count + lane - 1) / lane - 1 : 0; lanes > 0 && !z->error; lanes--) (void)number(z);
    bytes = (size_t)number(z);
    if (bytes > z->raw_size - z->raw_at) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    code->data = z->raw + z->raw_at;
    code->size = 8 * bytes;
    code->at = 0;
    z->raw_at += bytes;
}

static uint32_t symbol_of(ekz_t *z, code_t *code) {
    uint32_t word = 0, first = 0, index = 0, length;
    if (z->error) return 0;
    for (length = 1; length <= LONGEST_CODE; length++) {
        if (code->at >= code->size) break;
        word = word << 1 | (code->data[code->at >> 3] >> (7 - (code->at & 7)) & 1u);
        code->at++;
        if (word - first < code->count[length]) return code->sorted[index + word - first];
        index += code->count[length];
        first = (first + code->count[length]) << 1;
    }
    fail(z, EKZ_DAMAGED);
    return 0;
}

static void huffman(ekz_t *z, sink_t *s) {
    book_t book;
    code_t gaps, values;
    size_t i, total, kept = 0, left = s->count, gap;
    uint32_t common, step;
    codebook(z, &book, s->bits);
    common = (uint32_t)below(z, (uint64_t)book.size + 1);
    if (z->error) return;
    if (!common) {
        code_of(z, &values, book.size, s->count);
        for (i = 0; i < s->count && !z->error; i++) put_symbol(z, s, &book, symbol_of(z, &values));
        return;
    }
    total = below(z, (uint64_t)s->count + 1);
    code_of(z, &gaps, 256, total);
    for (i = 0; i < total && !z->error; i++) kept += symbol_of(z, &gaps) != 255;
    gaps.at = 0;
    code_of(z, &values, book.size, kept);
    for (i = 0; i < total && !z->error; i++) {
        step = symbol_of(z, &gaps);
        if (step > left) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        for (gap = step; gap > 0; gap--) put(z, s, book.values[common - 1]);
        left -= step;
        if (step == 255) continue;
        if (!left) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        put_symbol(z, s, &book, symbol_of(z, &values));
        left--;
    }
    for (; left > 0 && !z->error; left--) put(z, s, book.values[common - 1]);
}

/* ------------------------------------------------------------------ arrays: sections.py */

static const uint32_t WIDTHS[6] = {8, 16, 32, 64, 4, 2};

static void plain(ekz_t *z, sink_t *s, uint32_t method) { /* an array of one level: symbols, codes, or as it is */
    size_t bytes = (s->count * s->bits + 7) / 8, i;
    arena_t arena = z->arena;
    if (z->error) return;
    if (method == SYMBOLS) {
        symbols(z, s);
    } else if (method == HUFFMAN) {
        huffman(z, s);
    } else if (method == STORED && s->bits >= 8) {
        if (bytes > z->raw_size - z->raw_at) {
            fail(z, EKZ_DAMAGED);
            return;
        }
        for (i = 0; i < s->count; i++) {
            uint64_t value = 0;
            uint32_t k;
            for (k = 0; k < s->bits / 8; k++) value |= (uint64_t)z->raw[z->raw_at++] << (8 * k);
            put(z, s, value);
        }
    } else {
        fail(z, EKZ_DAMAGED);
    }
    z->arena = arena;
}

static void planes(ekz_t *z, const sink_t *whole) {
    uint32_t k, width = whole->bits / 8;
    if (width < 2) fail(z, EKZ_DAMAGED);
    for (k = 0; k < width && !z->error; k++) {
        sink_t s = *whole;
        s.out += k;
        s.bits = 8;
        plain(z, &s, (uint32_t)below(z, CUT + 1));
    }
}

static void sparse(ekz_t *z, const sink_t *whole) {
    uint32_t width = whole->bits / 8, k, method;
    size_t i, others = 0;
    uint8_t common[8], *mask;
    arena_t arena = z->arena;
    sink_t flags, rest = *whole;
    if (!width) fail(z, EKZ_DAMAGED);
    for (k = 0; k < width; k++) common[k] = text_byte(z);
    mask = (uint8_t *)take(z, (whole->count + 7) / 8, 1);
    if (z->error) return;
    memset(mask, 0, (whole->count + 7) / 8);
    memset(&flags, 0, sizeof flags);
    flags.out = mask;
    flags.count = whole->count;
    flags.bits = 1;
    method = (uint32_t)below(z, CUT + 1);
    if (method != SYMBOLS && method != HUFFMAN) fail(z, EKZ_DAMAGED);
    plain(z, &flags, method);
    if (z->error) return;
    for (i = 0; i < whole->count; i++) {
        memcpy(whole->out + i * width, common, width);
        others += mask[i >> 3] >> (i & 7) & 1;
    }
    rest.mask = mask;
    rest.places = whole->count;
    rest.count = others;
    method = (uint32_t)below(z, CUT + 1);
    if (method == PLANES)
        planes(z, &rest);
    else
        plain(z, &rest, method);
    z->arena = arena;
}

/* ------------------------------------------------------------------ float32 times float32, rounded to nearest even */

static uint32_t times(uint32_t a, uint32_t b) {
    uint32_t sign = (a ^ b) & 0x80000000u, rest;
    int32_t exponent_a = (int32_t)(a >> 23 & 255u), exponent_b = (int32_t)(b >> 23 & 255u), exponent;
    uint64_t product, half;
    int drop;
    if (!exponent_a || !exponent_b || exponent_a == 255 || exponent_b == 255) return 0; /* no packer writes these */
    product = (uint64_t)((a & 0x7FFFFFu) | 0x800000u) * ((b & 0x7FFFFFu) | 0x800000u);
    exponent = exponent_a + exponent_b - 127;
    drop = 23;
    if (product >> 47) {
        drop = 24;
        exponent++;
    }
    half = (uint64_t)1 << (drop - 1);
    rest = (uint32_t)(product & ((half << 1) - 1));
    product >>= drop;
    if (rest > half || (rest == half && (product & 1))) product++;
    if (product >> 24) {
        product >>= 1;
        exponent++;
    }
    if (exponent < 1 || exponent > 254) return 0; /* nor these: they would not be scales */
    return sign | (uint32_t)exponent << 23 | ((uint32_t)product & 0x7FFFFFu);
}

static void product(ekz_t *z, size_t size, uint32_t index) {
    uint64_t source;
    uint32_t theirs = z->several ? counterpart(z, index) : NONE, told = 0;
    uint8_t factor[4];
    int64_t place = -1;
    size_t i, k;
    int known = 0;
    if (theirs != NONE && z->sections[theirs].method == PRODUCT) {
        if (!moved(z, (int64_t)z->sections[theirs].source, z->sections[index].part, &place) || place < 0) place = -1;
        known = told_factor(z, index, z->sections[theirs].factor, &told);
    }
    source = told_number(z, place);
    for (k = 0; k < 4; k++) factor[k] = told_byte(z, known ? (int)(told >> (8 * k) & 255u) : -1);
    if (z->several) {
        z->sections[index].source = source;
        z->sections[index].factor = little(factor);
    }
    if (z->error || size % 4 || source > z->out_at || size > z->out_at - source) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    for (i = 0; i < size; i += 4) {
        uint32_t found = times(little(z->out + source + i), little(factor));
        for (k = 0; k < 4; k++) z->out[z->out_at + i + k] = (uint8_t)(found >> (8 * k));
    }
}

/* ------------------------------------------------------------------ parts of earlier arrays: cutting.py */

#define MOST_RUNS 64
#define MOST_FACTORS 2048 /* bytes of factors that are text */

enum { ALL_ONES, AS_TEXT, RAW };

typedef struct { /* which indices of an axis are taken: runs that are taken and passed over in turn, so many times */
    uint32_t runs[MOST_RUNS], count, repeats, taken, period;
} axis_t;

static void axis(ekz_t *z, axis_t *a, size_t size) {
    uint64_t taken = 0, period = 0, run;
    uint32_t i;
    a->count = (uint32_t)below(z, MOST_RUNS + 1);
    if (!a->count) fail(z, EKZ_DAMAGED);
    for (i = 0; i < a->count && !z->error; i++) {
        run = number(z);
        if (run > 0x7FFFFFFFu) fail(z, EKZ_DAMAGED);
        a->runs[i] = (uint32_t)run;
        period += run;
        if (i % 2 == 0) taken += run;
        if (period > 0x7FFFFFFFu) fail(z, EKZ_DAMAGED);
    }
    a->repeats = (uint32_t)below(z, (uint64_t)size + 2);
    if (z->error || period * a->repeats >= 0x80000000u) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    a->taken = (uint32_t)taken;
    a->period = (uint32_t)period;
}

static size_t place_of(const axis_t *a, size_t index) { /* index < taken * repeats */
    size_t rest = index % a->taken, at = index / a->taken * a->period;
    uint32_t i;
    for (i = 0; i < a->count; i += 2) {
        if (rest < a->runs[i]) return at + rest;
        rest -= a->runs[i];
        at += a->runs[i] + (i + 1 < a->count ? a->runs[i + 1] : 0u);
    }
    return at;
}

static void cut(ekz_t *z, size_t size, uint32_t index) {
    axis_t rows, columns;
    uint64_t source, extent;
    uint32_t width = 1, mode, by_column;
    size_t r, c, k, high, wide, lines, span;
    const uint8_t *factors = NULL;
    uint8_t read[MOST_FACTORS];
    switch (below(z, 6)) {
        case 0: width = 1; break;
        case 2: width = 4; break;
        default: fail(z, EKZ_DAMAGED);
    }
    source = told_number(z, told_start(z, index));
    axis(z, &rows, size);
    if (z->error) return;
    axis(z, &columns, size);
    by_column = (uint32_t)below(z, 2);
    if (z->error) return;
    high = (size_t)rows.taken * rows.repeats;
    wide = (size_t)columns.taken * columns.repeats;
    span = (size_t)columns.period * columns.repeats;
    extent = (uint64_t)rows.period * rows.repeats * span;
    if ((uint64_t)high * wide * width != size || extent > 0x7FFFFFFFu || source > z->out_at ||
        extent * width > z->out_at - source)
        fail(z, EKZ_DAMAGED);
    lines = by_column ? wide : high;
    mode = (uint32_t)below(z, 3);
    if (z->error) return;
    if (mode == AS_TEXT) {
        if (lines > MOST_FACTORS / width) fail(z, EKZ_DAMAGED);
        for (k = 0; k < lines * width && !z->error; k++) read[k] = text_byte(z);
        ended(z);
        factors = read;
    } else if (mode == RAW) {
        if (lines > (z->raw_size - z->raw_at) / width) fail(z, EKZ_DAMAGED);
        factors = z->raw + z->raw_at;
        if (!z->error) z->raw_at += lines * width;
    }
    for (r = 0; r < high && !z->error; r++) {
        size_t row = place_of(&rows, r) * span;
        for (c = 0; c < wide; c++) {
            const uint8_t *from = z->out + source + (row + place_of(&columns, c)) * width;
            uint8_t *to = z->out + z->out_at + (r * wide + c) * width;
            size_t line = by_column ? c : r;
            uint32_t by = factors == NULL ? (width == 1 ? 1u : 0x3F800000u)
                          : width == 1    ? factors[line]
                                          : little(factors + 4 * line);
            uint32_t found = width == 1 ? *from * by : times(little(from), by);
            if (width == 4 && (found >> 23 & 255u) < 2u) found = (little(from) ^ by) & 0x80000000u; /* as in cutting.py */
            for (k = 0; k < width; k++) to[k] = (uint8_t)(found >> (8 * k));
        }
    }
    for (r = 0; factors != NULL && r < high && !z->error; r++) { /* lines that stand as they are */
        for (c = 0; c < wide; c++) {
            size_t line = by_column ? c : r;
            for (k = 0; k < width; k++)
                if (factors[line * width + k]) break;
            if (k < width) continue;
            if (width > z->raw_size - z->raw_at) {
                fail(z, EKZ_DAMAGED);
                return;
            }
            memcpy(z->out + z->out_at + (r * wide + c) * width, z->raw + z->raw_at, width);
            z->raw_at += width;
        }
    }
}

/* ------------------------------------------------------------------ numbers like others: residuals.py, likeness.py */

#define NODES 32u
#define RESIDUAL_SLOTS (NODES * (3u + 4u * NODES))
#define LIKE_DECISIONS 6u
#define MOST_LIKE 0x40000000

enum { SHORT, SCALED };

static int64_t residual(ekz_t *z, uint32_t kind) {
    uint32_t larger = z->last_size > z->size_before ? z->last_size : z->size_before, node = 1, places[4];
    int64_t value = 1;
    int place, minus;
    for (place = 0; place < 5; place++) {
        places[0] = node;
        places[1] = NODES * (1u + kind) + node;
        places[2] = NODES * (3u + kind * NODES + z->last_size) + node;
        places[3] = NODES * (3u + (2u + kind) * NODES + larger) + node;
        node = 2u * node + (uint32_t)mixed(z, &z->residuals, places, (int)kind, NULL);
    }
    z->size_before = z->last_size;
    z->last_size = node - NODES;
    if (!z->last_size) return 0;
    minus = decode(z, 32768);
    for (place = (int)z->last_size - 2; place >= 0; place--) value = value * 2 + decode(z, 32768);
    return minus ? -value : value;
}

static int64_t quotient(int64_t top, int64_t below_it) { /* rounded down; what it is divided by is positive */
    int64_t found = top / below_it;
    return found * below_it > top ? found - 1 : found;
}

static int usual(uint32_t scale) { return scale >= 1u << 23 && scale < 255u << 23; }

static int64_t same(uint32_t number_there, uint32_t there, uint32_t here, int zeros) {
    int64_t top, below_it = (int64_t)(here & 0x7FFFFFu) | 0x800000, found;
    int by = (int)(there >> 23) - (int)(here >> 23) - zeros;
    if (!usual(there) || !usual(here) || by < -38 || by > 7) return 0;
    top = (number_there < 0x80000000u ? (int64_t)number_there : (int64_t)number_there - 0x100000000) *
          ((int64_t)(there & 0x7FFFFFu) | 0x800000);
    found = by >= 0 ? quotient(top * ((int64_t)1 << by), below_it) : quotient(top, below_it << -by);
    return found > -MOST_LIKE && found < MOST_LIKE ? found : 0;
}

static void like(ekz_t *z, size_t size, uint32_t index) {
    uint32_t theirs = z->several ? counterpart(z, index) : NONE, kind, step = 0, before, i, k, part;
    const section_t *own = z->sections + index, *other, *scales = NULL, *their_scales = NULL;
    int64_t away = 0, last = 0, told = -1;
    size_t count = size / 4, common;
    uint8_t *to = z->out + z->out_at;
    if (theirs == NONE || size % 4) {
        fail(z, EKZ_DAMAGED);
        return;
    }
    other = z->sections + theirs;
    part = own->part;
    common = count < other->size / 4 ? count : (size_t)(other->size / 4);
    kind = (uint32_t)below(z, 2);
    if (count > (MOST_DECISIONS - z->decisions) / LIKE_DECISIONS) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    z->decisions += (uint32_t)count * LIKE_DECISIONS;
    z->last_size = z->size_before = 0;
    if (kind == SCALED) {
        before = z->sections[part].factor + (index - part); /* what it answers to in the part before */
        if (before < part && z->sections[before].method == LIKE) told = (int64_t)z->sections[before].source;
        i = (uint32_t)told_below(z, (uint64_t)(index - part) + 1, told);
        z->sections[index].source = i;
        scales = own - i;
        their_scales = other - i;
        if (!i || scales->size / 4 < count || their_scales->size / 4 < common) fail(z, EKZ_DAMAGED);
        step = (uint32_t)text_byte(z) << 16;
        step |= (uint32_t)text_byte(z) << 24;
    }
    for (i = 0; i < count && !z->error; i++, to += 4) {
        const uint8_t *from = z->out + other->start + 4 * (size_t)i;
        uint32_t value;
        if (kind == SHORT) {
            int64_t base = last, expected;
            if (i < common) base = ((int64_t)little(from) + 0x8000) >> 16;
            if (base > 0xFFFF) base = 0xFFFF;
            expected = base + (i ? quotient(away, (int64_t)i) : 0);
            last = (int64_t)((uint64_t)(expected + residual(z, SHORT)) & 0xFFFFu);
            away += last - base;
            value = (uint32_t)last << 16;
        } else {
            uint32_t here = little(z->out + scales->start + 4 * (size_t)i);
            int zeros = 0;
            int64_t expected = 0;
            if (usual(here) && usual(step) && step > here) zeros = (int)((step - here) >> 23);
            if (zeros > 31) zeros = 31;
            if (i < common) expected = same(little(from), little(z->out + their_scales->start + 4 * (size_t)i), here, zeros);
            value = (uint32_t)((uint64_t)(expected + residual(z, SCALED)) << zeros);
        }
        for (k = 0; k < 4; k++) to[k] = (uint8_t)(value >> (8 * k));
        ended(z);
    }
}

/* ------------------------------------------------------------------ a whole archive: archive.py */

static void array(ekz_t *z, uint32_t method, size_t size, uint32_t index) {
    sink_t s;
    memset(&s, 0, sizeof s);
    s.out = z->out + z->out_at;
    s.bits = 8;
    if (method == PRODUCT) {
        product(z, size, index);
        return;
    }
    if (method == CUT) {
        cut(z, size, index);
        return;
    }
    if (method == LIKE) {
        like(z, size, index);
        return;
    }
    if (method == PART) return;
    if (method != STORED) s.bits = WIDTHS[below(z, 6)];
    if (s.bits >= 8 && size % (s.bits / 8)) fail(z, EKZ_DAMAGED);
    if (z->error) return;
    s.count = s.bits >= 8 ? size / (s.bits / 8) : size * (8 / s.bits);
    s.stride = s.bits / 8;
    if (method == PLANES)
        planes(z, &s);
    else if (method == SPARSE)
        sparse(z, &s);
    else
        plain(z, &s, method);
}

static void text(ekz_t *z, size_t size) {
    for (; size > 0 && !z->error; size--) z->out[z->out_at++] = text_byte(z);
    ended(z);
}

static void sections(ekz_t *z) { /* of one file */
    uint32_t method;
    size_t size;
    while ((method = (uint32_t)below(z, CUT + 1)) != END && !z->error) {
        text(z, below(z, (uint64_t)(z->out_size - z->out_at) + 1));
        size = below(z, (uint64_t)(z->out_size - z->out_at) + 1);
        if (z->error) return;
        array(z, method, size, 0);
        if (z->error) return;
        z->out_at += size;
    }
    text(z, z->out_size - z->out_at);
}

/* ------------------------------------------------------------------ an archive of several files: tables.py */

typedef struct { /* what became of sections of a method: another method, and a size of a size */
    uint32_t method;
    uint64_t size, of;
} became_t;

static void unchanged(became_t *became) {
    uint32_t method;
    for (method = 0; method <= LIKE; method++) {
        became[method].method = method;
        became[method].size = became[method].of = 1;
    }
}

static void table(ekz_t *z) {
    became_t became[LIKE + 1];
    uint32_t part = NONE, before = NONE, method; /* which sections began this part and the one before */
    uint64_t end = 0, total = z->out_size;
    unchanged(became);
    z->first = z->second = NONE;
    while (!z->error) {
        const section_t *model = NULL;
        section_t *entry;
        uint32_t gap_like = NONE;
        int64_t told = -1;
        uint64_t start, size = 0;
        if (before != NONE) {
            if (z->count - part < part - before) {
                gap_like = before + (z->count - part);
                model = z->sections + gap_like;
                told = became[model->method].method;
            } else if (z->count - part == part - before) {
                told = PART;
            }
        }
        method = (uint32_t)told_below(z, LIKE + 1, told);
        if (method == END || z->error) break;
        if (method == PART) {
            unchanged(became);
            gap_like = before == NONE ? NONE : part;
            model = NULL;
        }
        told = -1;
        if (gap_like != NONE)
            told = (int64_t)z->sections[gap_like].start - (gap_like ? end_of(z, gap_like - 1) : 0);
        start = end + told_below(z, total - end + 1, told);
        if (method != PART) {
            told = -1;
            if (model) {
                uint64_t expected = model->size * became[model->method].size / became[model->method].of;
                told = (int64_t)(expected < total ? expected : total);
            }
            size = told_below(z, total - start + 1, told);
        }
        if (z->error) break;
        if (model) {
            became[model->method].method = method;
            if (model->size) {
                became[model->method].size = size;
                became[model->method].of = model->size;
            }
        }
        entry = (section_t *)take(z, 1, sizeof(section_t));
        if (!entry) break;
        if (!z->count) z->sections = entry;
        memset(entry, 0, sizeof *entry);
        if (method == PART) {
            before = part;
            part = z->count;
            entry->factor = before;
            if (z->first == NONE)
                z->first = part;
            else if (z->second == NONE)
                z->second = part;
        }
        entry->start = start;
        entry->size = size;
        entry->method = method;
        entry->part = part;
        if (part != NONE) z->sections[part].source++;
        end = start + size;
        z->count++;
        ended(z);
    }
}

static void told_text(ekz_t *z, size_t size, uint32_t index, int within) {
    told_t told;
    tell(z, &told, index, within);
    for (; size > 0 && !z->error; size--) {
        z->out[z->out_at] = told_byte(z, told_next(z, &told));
        z->out_at++;
    }
    ended(z);
}

static void parts(ekz_t *z) {
    uint32_t index;
    table(z);
    for (index = 0; index < z->count && !z->error; index++) {
        section_t entry = z->sections[index];
        told_text(z, (size_t)entry.start - z->out_at, index, 0);
        if (z->error) return;
        if (entry.method == TEXT) {
            told_text(z, (size_t)entry.size, index, 1);
            continue;
        }
        array(z, entry.method, (size_t)entry.size, index);
        z->out_at = (size_t)(entry.start + entry.size);
    }
    if (!z->error) told_text(z, z->out_size - z->out_at, z->count, 0);
}

typedef struct {
    size_t size, workspace, raw, head;
    uint32_t crc, adler, table_bits;
    int several;
} head_t;

static int varint(const uint8_t *data, size_t size, size_t *at, uint64_t *value) {
    int shift;
    *value = 0;
    for (shift = 0; shift < 42 && *at < size; shift += 7) {
        uint8_t byte = data[(*at)++];
        *value |= (uint64_t)(byte & 127u) << shift;
        if (byte < 128) return 1;
    }
    return 0;
}

static int head_of(const uint8_t *archive, size_t archive_size, head_t *head) {
    uint64_t size, kilobytes, raw;
    size_t at = 4;
    if (archive_size < 3 || memcmp(archive, "EKZ", 3)) return EKZ_NOT_AN_ARCHIVE;
    if (archive_size < 4) return EKZ_DAMAGED;
    if (archive[3] != 1 && archive[3] != 2) return EKZ_NEWER;
    head->several = archive[3] == 2;
    if (!varint(archive, archive_size, &at, &size) || archive_size - at < 9) return EKZ_DAMAGED;
    head->crc = little(archive + at);
    head->adler = little(archive + at + 4);
    head->table_bits = archive[at + 8];
    at += 9;
    if (!varint(archive, archive_size, &at, &kilobytes) || !varint(archive, archive_size, &at, &raw)) return EKZ_DAMAGED;
    if (size > (uint64_t)RATIO * archive_size + ALWAYS || raw > archive_size - at) return EKZ_DAMAGED;
    if (head->table_bits < 12 || head->table_bits > 18) return EKZ_DAMAGED;
    /* No archive needs more than its columns can take: at most 64 bytes for each byte of the file, and 16 MiB. */
    if (kilobytes > (size >> 4) + 16384u) return EKZ_DAMAGED;
    if (size > 0x7FFFFFFFu || size > SIZE_MAX - 1 || (kilobytes << 10) > SIZE_MAX - (sizeof(ekz_t) + 64)) return EKZ_DAMAGED;
    head->size = (size_t)size;
    head->workspace = (size_t)(kilobytes << 10);
    head->raw = (size_t)raw;
    head->head = at;
    return EKZ_OK;
}

int ekz_info(const uint8_t *archive, size_t archive_size, ekz_info_t *info) {
    head_t head;
    int error = head_of(archive, archive_size, &head);
    info->size = error ? 0 : head.size;
    info->workspace = error ? 0 : head.workspace + sizeof(ekz_t) + 64;
    return error;
}

static int matches(const head_t *head, const uint8_t *data) {
    uint32_t crc = 0xFFFFFFFFu, a = 1, b = 0, k;
    size_t i;
    for (i = 0; i < head->size; i++) {
        crc ^= data[i];
        for (k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1u ? 0xEDB88320u : 0u);
        a = (a + data[i]) % 65521u;
        b = (b + a) % 65521u;
    }
    return (crc ^ 0xFFFFFFFFu) == head->crc && (b << 16 | a) == head->adler;
}

static void tables(ekz_t *z) {
    int32_t p, x = -LIMIT;
    for (p = 0; p < 4096; p++) {
        while (x < LIMIT && squash(x) < 16 * p + 8) x++;
        z->stretch[p] = (int16_t)x;
    }
}

int ekz_unpack(const uint8_t *archive, size_t archive_size, uint8_t *output, size_t output_size, void *workspace,
               size_t workspace_size) {
    head_t head;
    ekz_t *z;
    arena_t arena;
    size_t skip;
    int error = head_of(archive, archive_size, &head), i;
    if (error) return error;
    arena.at = (uint8_t *)workspace;
    skip = (size_t)(-(uintptr_t)arena.at) & 15u;
    if (output_size < head.size || workspace_size < skip + sizeof(ekz_t)) return EKZ_NO_ROOM;
    z = (ekz_t *)(void *)(arena.at + skip);
    memset(z, 0, sizeof *z);
    z->arena.at = arena.at + skip + sizeof *z;
    z->arena.left = workspace_size - skip - sizeof *z;
    z->raw = archive + head.head;
    z->raw_size = head.raw;
    z->bits = z->raw + head.raw;
    z->bits_size = archive_size - head.head - head.raw;
    z->high = 0xFFFFFFFFu;
    for (i = 0; i < 4; i++, z->bits_at++) z->value = z->value << 8 | (z->bits_at < z->bits_size ? z->bits[z->bits_at] : 0u);
    z->out = output;
    z->out_size = head.size;
    z->table_bits = head.table_bits;
    tables(z);
    z->window = (uint8_t *)take(z, WINDOW, 1);
    z->heads = (uint32_t *)take(z, HEADS, sizeof(uint32_t));
    z->several = head.several;
    if (!mixer(z, &z->text, 256u + ((size_t)CONTEXTS << z->table_bits) + (z->several ? 129u : 65u), CONTEXTS + 2, 0,
               z->several ? 20 : 12, 13107, 25, 255) ||
        z->error)
        return EKZ_NO_ROOM;
    if (z->several) {
        z->changed = (uint32_t *)take(z, MOST_CHANGED, sizeof(uint32_t));
        z->changed_of = NONE;
        if (!z->changed || !mixer(z, &z->residuals, RESIDUAL_SLOTS, 4, 0, 2, 21845, 25, 60)) return EKZ_NO_ROOM;
    }
    memset(z->window, 0, WINDOW);
    memset(z->heads, 0, HEADS * sizeof(uint32_t));
    if (z->several)
        parts(z);
    else
        sections(z);
    if (z->error) return z->error;
    return matches(&head, output) ? EKZ_OK : EKZ_CHECKSUM;
}

/* ------------------------------------------------------------------ several files in one: several.py */

int ekz_part(const uint8_t *unpacked, size_t size, const char *name, const uint8_t **part, size_t *part_size) {
    uint64_t count, length, bytes;
    size_t at = 8, start, i, pass;
    *part = NULL;
    *part_size = 0;
    if (size < 8 || memcmp(unpacked, "EKZSIZES", 8)) return EKZ_NO_PART;
    if (!varint(unpacked, size, &at, &count) || count > size) return EKZ_DAMAGED;
    start = at;
    for (pass = 0; pass < 2; pass++) { /* first where the files begin, then which one it is */
        size_t file = start;
        at = pass ? (size_t)8 : at;
        if (pass && !varint(unpacked, size, &at, &count)) return EKZ_DAMAGED;
        for (i = 0; i < count; i++) {
            size_t same = 0;
            if (!varint(unpacked, size, &at, &length) || length > size - at) return EKZ_DAMAGED;
            while (same < length && name[same] && (uint8_t)name[same] == unpacked[at + same]) same++;
            at += (size_t)length;
            if (!varint(unpacked, size, &at, &bytes)) return EKZ_DAMAGED;
            if (!pass) {
                start = at;
                continue;
            }
            file += (size_t)(-file) & 15u;
            if (file > size || bytes > size - file) return EKZ_DAMAGED;
            if (same == length && !name[same]) {
                *part = unpacked + file;
                *part_size = (size_t)bytes;
                return EKZ_OK;
            }
            file += (size_t)bytes;
        }
    }
    return EKZ_NO_PART;
}

const char *ekz_error(int error) {
    switch (error) {
        case EKZ_OK: return "no error";
        case EKZ_NOT_AN_ARCHIVE: return "this is no .ekz archive";
        case EKZ_NEWER: return "this archive is of a version that this decoder does not know";
        case EKZ_DAMAGED: return "this archive is damaged";
        case EKZ_CHECKSUM: return "this archive is damaged: its checksum is not that of what it holds";
        case EKZ_NO_PART: return "this archive holds no file of that name";
        case EKZ_NO_ROOM: return "there is too little room for what this archive holds";
        default: return "an unknown error";
    }
}
