SELECT * FROM read_parquet('purchases.parquet')
