-- What a topic partition is recognised by, added: the row at the watermark (`watermark_row` -> 'staged') and the lowest staged one.

alter table milepost.positions add column lowest_offset bigint, add column lowest_row jsonb;
comment on column milepost.positions.lowest_row is
    'What the row at lowest_offset, the lowest staged one, is recognised by: a topic that was made again has another there.';
