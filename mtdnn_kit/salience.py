"""DRAFT"""
