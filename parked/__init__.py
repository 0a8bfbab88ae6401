"""What every stage shares: settings, errors, schemas, ids, geometry, clocks, files, the operations database.

Nothing here imports another folder of ours, nor catboost, sklearn, evidently, bentoml or feast.
"""
